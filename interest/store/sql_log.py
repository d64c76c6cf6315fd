"""Appending to the log: find out what is new, number it, write it down and fold it, all in one transaction."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from sqlalchemy import Column, Executable, bindparam, insert, select, update

from interest.errors import ConflictingWrite, InvalidRequest
from interest.events import Event, InterestEdit, Record
from interest.fold import fold_many
from interest.profile import InterestProfile, empty_profile
from interest.profile_codec import decode, encode
from interest.store.protocol import AppendResult
from interest.store.rows import (
    chunks,
    edit_hash,
    edit_values,
    event_hash,
    event_rows,
    event_values,
)
from interest.store.schema import edits, erased_ids, events, items, users
from interest.store.transaction import Transaction

Entry = TypeVar("Entry", Event, InterestEdit)
Fresh = list[tuple[Entry, bytes]]  # with the hash of its body


@dataclass(frozen=True, slots=True)
class _Kind(Generic[Entry]):
    """What tells events and edits apart when looking for repeats."""

    name: str
    id_of: Callable[[Entry], str]
    hash_of: Callable[[Entry], bytes]
    held: Executable  # id and body hash of the records among `ids`


def _held(id_column: Column[str], hash_column: Column[bytes]) -> Executable:
    return select(id_column, hash_column).where(id_column.in_(bindparam("ids", expanding=True)))


_EVENT: _Kind[Event] = _Kind("event", attrgetter("event_id"), event_hash, _held(events.c.event_id, events.c.body_hash))
_EDIT: _Kind[InterestEdit] = _Kind(
    "edit", attrgetter("record_id"), edit_hash, _held(edits.c.record_id, edits.c.body_hash)
)
_ADD_EVENTS = insert(events)
_ADD_EDITS = insert(edits)
_ADD_USERS = insert(users)
_ADD_ITEMS = insert(items)

_ITEM_KEYS = select(items.c.item_id, items.c.item_key).where(items.c.item_id.in_(bindparam("ids", expanding=True)))
_USERS = select(users.c.user_id, users.c.user_key, users.c.profile).where(
    users.c.user_id.in_(bindparam("ids", expanding=True))
)
_SET_PROFILE = (
    update(users)
    .where(users.c.user_key == bindparam("of_user"))
    .values(profile=bindparam("set_profile"), updated_at=bindparam("set_updated_at"))
)
_ERASED = select(erased_ids.c.id_hash).where(erased_ids.c.id_hash.in_(bindparam("ids", expanding=True)))


def append(transaction: Transaction, records: Sequence[Record], received_at: float) -> AppendResult:
    """Log and fold. Everything that can be refused is refused before the first write."""
    posted = [record for record in records if isinstance(record, Event)]
    edited = [record for record in records if isinstance(record, InterestEdit)]
    _check_numbers(posted)
    fresh_events = _fresh(transaction, _EVENT, posted)
    fresh_edits = _fresh(transaction, _EDIT, edited)
    if fresh_events or fresh_edits:
        _write(transaction, fresh_events, fresh_edits, received_at)
    accepted = len(fresh_events) + len(fresh_edits)
    return AppendResult(accepted=accepted, duplicates=len(records) - accepted, seq=transaction.seq)


def item_keys(transaction: Transaction, item_ids: Iterable[str]) -> dict[str, int]:
    """The integer of each item id; those named for the first time get a row without a body."""
    wanted = list(dict.fromkeys(item_ids))
    keys: dict[str, int] = {}
    for part in chunks(wanted):
        found = transaction.connection.execute(_ITEM_KEYS, {"ids": part})
        keys.update({row.item_id: row.item_key for row in found})
    missing = [item_id for item_id in wanted if item_id not in keys]
    if missing:
        added = dict(zip(missing, transaction.next_item_keys(len(missing)), strict=True))
        blank = {"seq": 0, "deleted": False, "body": None}
        rows = [{"item_key": key, "item_id": item_id, **blank} for item_id, key in added.items()]
        transaction.connection.execute(_ADD_ITEMS, rows)
        keys.update(added)
    return keys


def _check_numbers(posted: Sequence[Event]) -> None:
    for event in posted:
        if not math.isfinite(event.timestamp) or (event.value is not None and not math.isfinite(event.value)):
            raise InvalidRequest(
                f"event id {event.event_id!r}: timestamp={event.timestamp}, value={event.value} must be finite"
            )


def _fresh(transaction: Transaction, kind: _Kind[Entry], records: Sequence[Entry]) -> Fresh[Entry]:
    """The records that are neither held already, nor repeats within this call, nor erased.

    Raises `ConflictingWrite` naming an id that is held, or given twice, with another body.
    """
    if not records:
        return []
    first: dict[str, tuple[Entry, bytes]] = {}
    for record in records:
        body_hash = kind.hash_of(record)
        if first.setdefault(kind.id_of(record), (record, body_hash))[1] != body_hash:
            raise _conflict(kind.name, kind.id_of(record), "given twice with different bodies")
    held: set[str] = set()
    for part in chunks(list(first)):
        for record_id, body_hash in transaction.connection.execute(kind.held, {"ids": part}):
            if first[record_id][1] != body_hash:
                raise _conflict(kind.name, record_id, "already held with another body")
            held.add(record_id)
    unknown = [record_id for record_id in first if record_id not in held]
    dead = _erased(transaction, kind.name, unknown)
    return [first[record_id] for record_id in unknown if record_id not in dead]


def _conflict(kind: str, record_id: str, what: str) -> ConflictingWrite:
    return ConflictingWrite(f"{kind} id {record_id!r}: {what}", "id")


def _erased(transaction: Transaction, kind: str, ids: Sequence[str]) -> set[str]:
    if not transaction.counters.erased:
        return set()
    by_hash = {transaction.keyed_hash(kind, record_id): record_id for record_id in ids}
    dead: set[str] = set()
    for part in chunks(list(by_hash)):
        dead.update(by_hash[row.id_hash] for row in transaction.connection.execute(_ERASED, {"ids": part}))
    return dead


def _write(transaction: Transaction, posted: Fresh[Event], edited: Fresh[InterestEdit], received_at: float) -> None:
    connection = transaction.connection
    user_ids = list(dict.fromkeys([event.user_id for event, _ in posted] + [edit.user_id for edit, _ in edited]))
    keys = item_keys(transaction, (event.item_id for event, _ in posted))
    profiles, known = _load(transaction, user_ids)
    position = {user_id: index for index, user_id in enumerate(user_ids)}
    rows = event_rows([event for event, _ in posted], position, keys)
    folded = fold_many(profiles, rows, [(position[edit.user_id], edit) for edit, _ in edited])
    user_keys = _store(transaction, folded, known)
    if posted:
        numbered = zip(posted, transaction.next_seqs(len(posted)), strict=True)
        values = [
            event_values(event, body_hash, user_keys[event.user_id], keys[event.item_id], received_at, seq)
            for (event, body_hash), seq in numbered
        ]
        connection.execute(_ADD_EVENTS, values)
    if edited:
        numbered_edits = zip(edited, transaction.next_seqs(len(edited)), strict=True)
        edit_rows = [
            edit_values(edit, body_hash, user_keys[edit.user_id], seq) for (edit, body_hash), seq in numbered_edits
        ]
        connection.execute(_ADD_EDITS, edit_rows)


def _load(transaction: Transaction, user_ids: Sequence[str]) -> tuple[list[InterestProfile], dict[str, int]]:
    """Profiles in order, and the keys of the users that have a row."""
    held: dict[str, InterestProfile] = {}
    known: dict[str, int] = {}
    for part in chunks(user_ids):
        for user_id, user_key, blob in transaction.connection.execute(_USERS, {"ids": part}):
            held[user_id] = decode(user_id, blob)
            known[user_id] = user_key
    return [held.get(user_id) or empty_profile(user_id) for user_id in user_ids], known


def _store(transaction: Transaction, profiles: Sequence[InterestProfile], known: Mapping[str, int]) -> dict[str, int]:
    """Write the profiles back; returns the key of every user, new ones included."""
    fresh = [profile for profile in profiles if profile.user_id not in known]
    changed = [
        {"of_user": known[profile.user_id], "set_profile": encode(profile), "set_updated_at": profile.updated_at}
        for profile in profiles
        if profile.user_id in known
    ]
    if changed:
        transaction.connection.execute(_SET_PROFILE, changed)
    added = dict(zip([profile.user_id for profile in fresh], transaction.next_user_keys(len(fresh)), strict=True))
    rows = [
        {
            "user_key": added[profile.user_id],
            "user_id": profile.user_id,
            "profile": encode(profile),
            "updated_at": profile.updated_at,
        }
        for profile in fresh
    ]
    if rows:
        transaction.connection.execute(_ADD_USERS, rows)
    return {**known, **added}

"""Profiles as of an instant: folded from the log, many users and instants in one pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, select

from interest.batch import Doubles, Longs
from interest.events import InterestEdit
from interest.fold import EventRows, fold_many
from interest.profile import InterestProfile, empty_profile
from interest.store.rows import chunks, edit_of
from interest.store.schema import edits, events, users

_KEYS = select(users.c.user_id, users.c.user_key).where(users.c.user_id.in_(bindparam("ids", expanding=True)))
_EVENTS = (
    select(events.c.user_key, events.c.item_key, events.c.event_type, events.c.timestamp, events.c.value, events.c.text)
    .where(events.c.user_key.in_(bindparam("keys", expanding=True)), events.c.timestamp <= bindparam("until"))
    .order_by(events.c.user_key, events.c.timestamp, events.c.event_id)
)
_EDITS = (
    select(edits)
    .where(edits.c.user_key.in_(bindparam("keys", expanding=True)), edits.c.timestamp <= bindparam("until"))
    .order_by(edits.c.user_key, edits.c.timestamp, edits.c.record_id)
)


def user_keys(connection: Connection, user_ids: Sequence[str]) -> dict[str, int]:
    """The integers of the users that are known."""
    keys: dict[str, int] = {}
    for part in chunks(list(dict.fromkeys(user_ids))):
        keys.update({row.user_id: row.user_key for row in connection.execute(_KEYS, {"ids": part})})
    return keys


def profiles_as_of(connection: Connection, user_ids: Sequence[str], as_of: Sequence[float]) -> list[InterestProfile]:
    """One profile per position, of the records of that user up to that instant (unix seconds, inclusive)."""
    keys = user_keys(connection, user_ids)
    found: list[InterestProfile] = [empty_profile(user_id) for user_id in user_ids]
    positions = [position for position, user_id in enumerate(user_ids) if user_id in keys]
    for part in chunks(positions):
        owners = np.array([keys[user_ids[position]] for position in part], dtype=np.int64)
        until = np.array([as_of[position] for position in part], dtype=np.float64)
        asked = {"keys": np.unique(owners).tolist(), "until": float(until.max())}
        rows = _event_rows(connection.execute(_EVENTS, asked).all(), owners, until)
        changes = _edits(connection.execute(_EDITS, asked).all(), [user_ids[p] for p in part], owners, until)
        folded = fold_many([found[position] for position in part], rows, changes)
        for position, profile in zip(part, folded, strict=True):
            found[position] = profile
    return found


def _event_rows(rows: Sequence[Any], owners: Longs, until: Doubles) -> EventRows:
    """Rows sorted by (user key, time) -> one copy for each position that asks for them."""
    user, item_key, event_type, timestamp, value, text = zip(*rows, strict=True) if rows else ((),) * 6
    keys, times = np.array(user, dtype=np.int64), np.array(timestamp, dtype=np.float64)
    starts = np.searchsorted(keys, owners, side="left")
    ends = np.searchsorted(keys, owners, side="right")
    taken = [
        np.arange(start, start + np.searchsorted(times[start:end], instant, side="right"))
        for start, end, instant in zip(starts, ends, until, strict=True)
    ]
    picked = np.concatenate(taken).astype(np.int64)
    return EventRows(
        user=np.repeat(np.arange(len(owners)), [len(part) for part in taken]),
        item_key=np.array(item_key, dtype=np.int64)[picked],
        event_type=np.array(event_type, dtype=np.int8)[picked],
        timestamp=times[picked],
        value=np.array(value, dtype=np.float64)[picked],  # None becomes NaN
        text=[text[row] for row in picked.tolist()],
    )


def _edits(
    rows: Sequence[Any], user_ids: Sequence[str], owners: Longs, until: Doubles
) -> list[tuple[int, InterestEdit]]:
    return [
        (position, edit_of(row, user_ids[position]))
        for row in rows
        for position in np.flatnonzero((owners == row.user_key) & (until >= row.timestamp)).tolist()
    ]

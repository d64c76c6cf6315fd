"""Between records and rows: what a row of each table holds, and the hash that tells a repeat from a conflict."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, Table

from interest.events import EVENT_CODES, EVENT_TYPES, Event, Facet, InterestEdit
from interest.fold import EventRows
from interest.items import Item
from interest.store.protocol import EvaluationRecord, Impression, ItemChange, Snapshot

Values = dict[str, Any]
Entry = TypeVar("Entry")

MAX_IN = 5_000  # values of one IN list: well below the limit of every dialect

_pack = msgspec.msgpack.Encoder().encode
_to_json = msgspec.json.Encoder().encode
_facets = msgspec.json.Decoder(tuple[tuple[Facet, float | None], ...])
_item = msgspec.json.Decoder(Item)


def chunks(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The entries in stretches that fit one IN list."""
    return (entries[start : start + MAX_IN] for start in range(0, len(entries), MAX_IN))


def event_hash(event: Event) -> bytes:
    """16 bytes of everything the sender said: a time that the server filled in is no part of that."""
    timestamp = None if event.stamped else event.timestamp
    told = (event.type, event.user_id, event.item_id, timestamp, event.value, event.text, event.session_id)
    return _digest((*told, event.recommendation_id, event.position))


def edit_hash(edit: InterestEdit) -> bytes:
    """16 bytes of everything the sender said; the time of an edit is always the server's."""
    return _digest((edit.user_id, edit.facets, edit.replace))


def event_values(event: Event, body_hash: bytes, user_key: int, item_key: int, received_at: float, seq: int) -> Values:
    return {
        "seq": seq,
        "event_id": event.event_id,
        "body_hash": body_hash,
        "user_key": user_key,
        "item_key": item_key,
        "event_type": EVENT_CODES[event.type],
        "timestamp": event.timestamp,
        "value": event.value,
        "text": event.text,
        "session_id": event.session_id,
        "recommendation_id": event.recommendation_id,
        "position": event.position,
        "received_at": received_at,
    }


def edit_values(edit: InterestEdit, body_hash: bytes, user_key: int, seq: int) -> Values:
    return {
        "seq": seq,
        "record_id": edit.record_id,
        "body_hash": body_hash,
        "user_key": user_key,
        "timestamp": edit.timestamp,
        "replace": edit.replace,
        "facets": _to_json(edit.facets).decode(),
    }


def event_of(row: Row[Any], user_id: str) -> Event:
    return Event(
        event_id=row.event_id,
        type=EVENT_TYPES[row.event_type],
        user_id=user_id,
        item_id=row.item_id,
        timestamp=row.timestamp,
        value=row.value,
        text=row.text,
        session_id=row.session_id,
        recommendation_id=row.recommendation_id,
        position=row.position,
    )


def edit_of(row: Row[Any], user_id: str) -> InterestEdit:
    return InterestEdit(
        record_id=row.record_id,
        user_id=user_id,
        timestamp=row.timestamp,
        facets=_facets.decode(row.facets),
        replace=row.replace,
    )


def event_rows(events: Sequence[Event], user: Mapping[str, int], item_key: Mapping[str, int]) -> EventRows:
    """Columns for the fold; `user` gives each user's position in the call, `item_key` each item's integer."""
    value = (np.nan if event.value is None else event.value for event in events)
    return EventRows(
        user=np.fromiter((user[event.user_id] for event in events), np.int64, len(events)),
        item_key=np.fromiter((item_key[event.item_id] for event in events), np.int64, len(events)),
        event_type=np.fromiter((EVENT_CODES[event.type] for event in events), np.int8, len(events)),
        timestamp=np.fromiter((event.timestamp for event in events), np.float64, len(events)),
        value=np.fromiter(value, np.float64, len(events)),
        text=[event.text for event in events],
    )


def item_body(item: Item) -> str:
    """JSON with sorted keys, so that equal items have equal bodies."""
    return msgspec.json.encode(item, order="sorted").decode()


def item_of(body: str) -> Item:
    return _item.decode(body)


def change_of(row: Row[Any], encoder: str) -> ItemChange:
    """`row.vector`: the embedding of that encoder, None without one."""
    gone = row.deleted or row.body is None
    vector = None if gone else row.vector
    return ItemChange(
        seq=row.seq,
        item_key=row.item_key,
        item_id=row.item_id,
        item=None if gone else item_of(row.body),
        embedding=None if vector is None else np.frombuffer(vector, "<f4"),
        encoder="" if vector is None else encoder,
    )


def embedding_bytes(vector: npt.NDArray[np.float32]) -> bytes:
    return vector.astype("<f4", copy=False).tobytes()


def fields_of(record: Impression | Snapshot | EvaluationRecord, table: Table) -> Values:
    """The fields of a record that are columns of the table."""
    return {name: getattr(record, name) for name in _shared(type(record), table)}


@cache
def _shared(kind: type[Impression | Snapshot | EvaluationRecord], table: Table) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if name in table.c)


def impression_of(row: Row[Any]) -> Impression:
    return Impression(**row._mapping)


def snapshot_of(row: Row[Any]) -> Snapshot:
    return Snapshot(**row._mapping)


def evaluation_of(row: Row[Any]) -> EvaluationRecord:
    return EvaluationRecord(**row._mapping)


def _digest(told: object) -> bytes:
    return blake2b(_pack(told), digest_size=16).digest()

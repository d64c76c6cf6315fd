"""Items in the store: put, delete, embed; what did not change keeps its sequence number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, bindparam, delete, insert, select, update

from interest.items import Item
from interest.store.rows import Values, chunks, embedding_bytes, item_body, item_of
from interest.store.schema import embeddings, items
from interest.store.sql_log import item_keys
from interest.store.transaction import Transaction

_HELD = select(items).where(items.c.item_id.in_(bindparam("ids", expanding=True)))
_COLUMNS = ("seq", "deleted", "body")
_CHANGE = (
    update(items)
    .where(items.c.item_key == bindparam("of_item"))
    .values({name: bindparam(f"set_{name}") for name in _COLUMNS})
)
_OF_ITEMS = embeddings.c.item_key.in_(bindparam("keys", expanding=True))
_OF_ENCODER = embeddings.c.encoder == bindparam("of_encoder")
_VECTORS = select(embeddings.c.item_key, embeddings.c.vector).where(_OF_ITEMS, _OF_ENCODER)
_FORGET_ENCODER = delete(embeddings).where(_OF_ITEMS, _OF_ENCODER)
_FORGET = delete(embeddings).where(_OF_ITEMS)


def put_items(
    transaction: Transaction, put: Sequence[Item], vectors: npt.NDArray[np.float32] | None, encoder: str
) -> int:
    """Insert or replace; of several with one id the last counts. Returns how many items are new or changed.

    An item keeps its embeddings as long as its content stays the same.
    """
    assert vectors is None or len(vectors) == len(put), "one embedding an item"
    latest = {item.item_id: row for row, item in enumerate(put)}
    item_keys(transaction, latest)
    held = _held(transaction, list(latest))
    _forget(transaction, [found.item_key for found in held if _said_otherwise(found, put[latest[found.item_id]])])
    encoded: set[int] = set()
    if vectors is not None:
        packed = {found.item_key: embedding_bytes(vectors[latest[found.item_id]]) for found in held}
        encoded = _write_vectors(transaction, packed, encoder)
    changed = []
    for found in held:
        state: Values = {"deleted": False, "body": item_body(put[latest[found.item_id]])}
        if found.item_key in encoded or any(value != getattr(found, name) for name, value in state.items()):
            changed.append((found, state))
    _write(transaction, changed)
    return len(changed)


def delete_items(transaction: Transaction, item_ids: Sequence[str]) -> int:
    """Mark deleted; returns how many were there. The body stays, for the sake of what was shown of it."""
    found = [held for held in _held(transaction, list(dict.fromkeys(item_ids))) if held.body and not held.deleted]
    _forget(transaction, [held.item_key for held in found])
    _write(transaction, [(held, {"deleted": True}) for held in found])
    return len(found)


def set_embeddings(
    transaction: Transaction, encoded: Sequence[tuple[str, int]], vectors: npt.NDArray[np.float32], encoder: str
) -> None:
    """Attach embeddings to items of this id and seq: one that changed since it was encoded says something else now."""
    assert len(vectors) == len(encoded), "one embedding an item"
    rows = {item_id: row for row, (item_id, _) in enumerate(encoded)}
    same = [held for held in _held(transaction, list(rows)) if held.seq == encoded[rows[held.item_id]][1]]
    packed = {held.item_key: embedding_bytes(vectors[rows[held.item_id]]) for held in same}
    changed = _write_vectors(transaction, packed, encoder)
    _write(transaction, [(held, {}) for held in same if held.item_key in changed])


def keep_embeddings(transaction: Transaction, encoders: Sequence[str]) -> int:
    """Forget the embeddings of all other encoders; returns how many there were."""
    return transaction.connection.execute(delete(embeddings).where(embeddings.c.encoder.not_in(encoders))).rowcount


def _said_otherwise(held: Row[Any], item: Item) -> bool:
    """Whether the encoders saw another content than the item's."""
    return held.body is None or item_of(held.body).content() != item.content()


def _write_vectors(transaction: Transaction, vectors: Mapping[int, bytes], encoder: str) -> set[int]:
    """Store the embeddings by item key; returns the keys of those that are new or differ."""
    connection = transaction.connection
    held: dict[int, bytes] = {}
    for part in chunks(list(vectors)):
        found = connection.execute(_VECTORS, {"keys": part, "of_encoder": encoder})
        held.update({row.item_key: row.vector for row in found})
    changed = [key for key, vector in vectors.items() if held.get(key) != vector]
    for part in chunks([key for key in changed if key in held]):
        connection.execute(_FORGET_ENCODER, {"keys": part, "of_encoder": encoder})
    if changed:
        rows = [{"item_key": key, "encoder": encoder, "vector": vectors[key]} for key in changed]
        connection.execute(insert(embeddings), rows)
    return set(changed)


def _forget(transaction: Transaction, keys: Sequence[int]) -> None:
    for part in chunks(keys):
        transaction.connection.execute(_FORGET, {"keys": part})


def _held(transaction: Transaction, item_ids: Sequence[str]) -> list[Row[Any]]:
    """The rows of these ids, in the order given, without those that have none."""
    found = {}
    for part in chunks(item_ids):
        found.update({row.item_id: row for row in transaction.connection.execute(_HELD, {"ids": part})})
    return [found[item_id] for item_id in item_ids if item_id in found]


def _write(transaction: Transaction, changed: Sequence[tuple[Row[Any], Values]]) -> None:
    """Write the new state of each row; every one gets a sequence number of its own, so that pages can end anywhere."""
    if not changed:
        return
    values = []
    for (held, state), seq in zip(changed, transaction.next_seqs(len(changed)), strict=True):
        row = {name: getattr(held, name) for name in _COLUMNS} | state | {"seq": seq}
        values.append({"of_item": held.item_key, **{f"set_{name}": row[name] for name in _COLUMNS}})
    transaction.connection.execute(_CHANGE, values)

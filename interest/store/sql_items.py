"""Items in the store: put, delete, embed; what did not change keeps its sequence number."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Row, bindparam, select, update

from interest.errors import NotFound
from interest.items import Item
from interest.store.rows import Values, chunks, embedding_bytes, item_body, item_of
from interest.store.schema import items
from interest.store.sql_log import item_keys
from interest.store.transaction import Transaction

_HELD = select(items).where(items.c.item_id.in_(bindparam("ids", expanding=True)))
_COLUMNS = ("seq", "deleted", "body", "embedding", "encoder")
_CHANGE = (
    update(items)
    .where(items.c.item_key == bindparam("of_item"))
    .values({name: bindparam(f"set_{name}") for name in _COLUMNS})
)


def put_items(
    transaction: Transaction, put: Sequence[Item], embeddings: npt.NDArray[np.float32] | None, encoder: str
) -> int:
    """Insert or replace; of several with one id the last counts. Returns how many items are new or changed.

    Without `embeddings` an item keeps the one it has as long as its content stays the same.
    """
    assert embeddings is None or len(embeddings) == len(put), "one embedding an item"
    latest = {item.item_id: row for row, item in enumerate(put)}
    item_keys(transaction, latest)
    changed = []
    for held in _held(transaction, list(latest)):
        row = latest[held.item_id]
        vector = None if embeddings is None else embedding_bytes(embeddings[row])
        state = _state(held, put[row], vector, encoder)
        if any(state[name] != getattr(held, name) for name in state):
            changed.append((held, state))
    _write(transaction, changed)
    return len(changed)


def delete_items(transaction: Transaction, item_ids: Sequence[str]) -> int:
    """Mark deleted; returns how many were there. The body stays, for the sake of what was shown of it."""
    found = [held for held in _held(transaction, list(dict.fromkeys(item_ids))) if held.body and not held.deleted]
    _write(transaction, [(held, {"deleted": True, "embedding": None, "encoder": ""}) for held in found])
    return len(found)


def set_embeddings(
    transaction: Transaction, item_ids: Sequence[str], embeddings: npt.NDArray[np.float32], encoder: str
) -> None:
    """Attach embeddings to living items; an item deleted meanwhile is left out. Raises `NotFound` for an unknown id."""
    assert len(embeddings) == len(item_ids), "one embedding an item"
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    held = {found.item_id: found for found in _held(transaction, list(rows))}
    unknown = [item_id for item_id in rows if item_id not in held]
    if unknown:
        raise NotFound(f"item_id={unknown[0]!r}: no such item ({len(unknown)} of {len(rows)} are unknown)", "item_id")
    changed = []
    for item_id, row in rows.items():
        state = {"embedding": embedding_bytes(embeddings[row]), "encoder": encoder}
        found = held[item_id]
        living = found.body is not None and not found.deleted
        if living and (found.embedding, found.encoder) != (state["embedding"], encoder):
            changed.append((found, state))
    _write(transaction, changed)


def _state(held: Row[Any], item: Item, vector: bytes | None, encoder: str) -> Values:
    state: Values = {"deleted": False, "body": item_body(item)}
    if vector is not None:
        return {**state, "embedding": vector, "encoder": encoder}
    if held.body is None or item_of(held.body).content() != item.content():
        return {**state, "embedding": None, "encoder": ""}
    return state


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

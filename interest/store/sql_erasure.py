"""Erasure: everything about a user goes; of their records only keyed hashes of the ids stay."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import Column, delete, func, insert, select

from interest.store.dialect import insert_new
from interest.store.protocol import ErasureReceipt, Impression, Snapshot
from interest.store.rows import chunks
from interest.store.schema import edits, erased_ids, erasures, events, impressions, snapshots, text_origins, users
from interest.store.transaction import Transaction

Asked = TypeVar("Asked", Impression, Snapshot)


def erase_user(transaction: Transaction, user_id: str, erased_at: float) -> ErasureReceipt:
    """Remove events, edits, profile, impressions with what their texts were written from, and snapshots.

    That it happened is logged. `erased_at`: unix seconds.
    """
    connection = transaction.connection
    user_key = connection.execute(select(users.c.user_key).where(users.c.user_id == user_id)).scalar()
    event_count = edit_count = 0
    if user_key is not None:
        event_count = _bury(transaction, "event", events.c.event_id, events.c.user_key, user_key)
        edit_count = _bury(transaction, "edit", edits.c.record_id, edits.c.user_key, user_key)
        connection.execute(delete(users).where(users.c.user_key == user_key))
    shown = connection.execute(delete(impressions).where(impressions.c.user_id == user_id)).rowcount
    connection.execute(delete(text_origins).where(text_origins.c.user_id == user_id))
    connection.execute(delete(snapshots).where(snapshots.c.user_id == user_id))
    (seq,) = transaction.next_seqs(1)
    receipt = ErasureReceipt(
        receipt_id=f"era_{transaction.keyed_hash('receipt', str(seq)).hex()}",
        events=event_count,
        edits=edit_count,
        impressions=shown,
    )
    row = {
        "seq": seq,
        "receipt_id": receipt.receipt_id,
        "user_hash": transaction.keyed_hash("user", user_id),
        "erased_at": erased_at,
        "events": receipt.events,
        "edits": receipt.edits,
        "impressions": receipt.impressions,
    }
    connection.execute(insert(erasures), row)
    return receipt


def not_erased(transaction: Transaction, shown: Sequence[Asked]) -> list[Asked]:
    """Without what users asked for before they were erased: it was still on its way."""
    hashes = {transaction.keyed_hash("user", user_id): user_id for user_id in {one.user_id for one in shown}}
    erased_at: dict[str, float] = {}
    for part in chunks(list(hashes)):
        found = transaction.connection.execute(
            select(erasures.c.user_hash, func.max(erasures.c.erased_at))
            .where(erasures.c.user_hash.in_(part))
            .group_by(erasures.c.user_hash)
        )
        erased_at.update({hashes[user_hash]: at for user_hash, at in found})
    return [one for one in shown if one.requested_at > erased_at.get(one.user_id, float("-inf"))]


def _bury(transaction: Transaction, kind: str, id_column: Column[str], user_column: Column[int], user_key: int) -> int:
    """Delete the user's rows of one table, keeping keyed hashes of their ids; returns how many there were."""
    connection = transaction.connection
    found = connection.execute(select(id_column).where(user_column == user_key)).scalars().all()
    hashes = [{"id_hash": transaction.keyed_hash(kind, record_id)} for record_id in found]
    if hashes:
        connection.execute(insert_new(connection, erased_ids), hashes)
        connection.execute(delete(id_column.table).where(user_column == user_key))
        transaction.count_erased(len(hashes))
    return len(hashes)

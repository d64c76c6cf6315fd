"""SqlWriter: the owner of every write, one durable transaction a call or one for many calls."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, Table, delete

from interest.events import Record
from interest.items import Item
from interest.store import sql_erasure, sql_items, sql_log
from interest.store.dialect import insert_new, insert_or_replace
from interest.store.protocol import AppendResult, ErasureReceipt, EvaluationRecord, Impression, PutResult, Snapshot
from interest.store.rows import fields_of
from interest.store.schema import evaluations, text_origins
from interest.store.schema import impressions as impressions_table
from interest.store.schema import snapshots as snapshots_table
from interest.store.transaction import Transaction, create_schema


class SqlWriter:
    """Implements `StoreWriter`. Not thread-safe. Several processes may each hold one: their writes take turns.

    Outside `transaction()` every call commits by itself. Inside, a call that raises may have written a part:
    leave the transaction with the exception, or make the call within `savepoint()`.
    """

    def __init__(self, engine: Engine, wall: Callable[[], float] = time.time) -> None:
        """Makes the tables where they are missing. `wall` gives unix seconds."""
        self._engine = engine
        self._wall = wall
        self._hash_key = create_schema(engine)
        self._open: Transaction | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside commit together when it ends, or none of them when it raises."""
        assert self._open is None, "transactions do not nest; savepoints do"
        with self._engine.connect() as connection, connection.begin():
            self._open = Transaction(connection, self._hash_key)
            try:
                yield
                self._open.store_counters()
            finally:
                self._open = None

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Within a transaction: the writes inside happen whole or, when it raises, not at all."""
        assert self._open is not None, "a savepoint needs a transaction around it"
        with self._open.savepoint():
            yield

    def append(self, records: Sequence[Record]) -> AppendResult:
        with self._scope() as transaction:
            return sql_log.append(transaction, records, self._wall())

    def put_items(self, items: Sequence[Item], embeddings: npt.NDArray[np.float32] | None, encoder: str) -> PutResult:
        with self._scope() as transaction:
            changed = sql_items.put_items(transaction, items, embeddings, encoder)
            return PutResult(changed, transaction.seq)

    def delete_items(self, item_ids: Sequence[str]) -> int:
        with self._scope() as transaction:
            return sql_items.delete_items(transaction, item_ids)

    def set_embeddings(
        self, encoded: Sequence[tuple[str, int]], embeddings: npt.NDArray[np.float32], encoder: str
    ) -> int:
        with self._scope() as transaction:
            sql_items.set_embeddings(transaction, encoded, embeddings, encoder)
            return transaction.seq

    def keep_embeddings(self, encoders: Sequence[str]) -> int:
        with self._scope() as transaction:
            return sql_items.keep_embeddings(transaction, encoders)

    def erase_user(self, user_id: str) -> ErasureReceipt:
        with self._scope() as transaction:
            return sql_erasure.erase_user(transaction, user_id, self._wall())

    def log_impressions(self, impressions: Sequence[Impression]) -> None:
        with self._scope() as transaction:
            kept = sql_erasure.not_erased(transaction, impressions)
            if kept:
                _insert_new(transaction.connection, impressions_table, kept)
            if told := [shown for shown in kept if shown.origin]:
                _insert_new(transaction.connection, text_origins, told)

    def keep_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        with self._scope() as transaction:
            connection = transaction.connection
            connection.execute(delete(snapshots_table).where(snapshots_table.c.expires_at < self._wall()))
            kept = sql_erasure.not_erased(transaction, snapshots)
            if kept:
                _insert_new(connection, snapshots_table, kept)

    def put_evaluation(self, record: EvaluationRecord) -> None:
        with self._scope() as transaction:
            connection = transaction.connection
            connection.execute(insert_or_replace(connection, evaluations), fields_of(record, evaluations))

    def set_wanted_release(self, name: str) -> int:
        with self._scope() as transaction:
            if transaction.get_meta("wanted_release") != name:
                transaction.set_meta("wanted_release", name)
                transaction.next_seqs(1)
            return transaction.seq

    def set_meta(self, key: str, value: str) -> None:
        with self._scope() as transaction:
            transaction.set_meta(key, value)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _scope(self) -> Iterator[Transaction]:
        if self._open is not None:
            yield self._open
            return
        with self.transaction():
            assert self._open is not None
            yield self._open


def _insert_new(connection: Connection, table: Table, records: Sequence[Impression] | Sequence[Snapshot]) -> None:
    """Those that the table does not hold yet."""
    connection.execute(insert_new(connection, table), [fields_of(record, table) for record in records])

"""What every store must do when several writes are one transaction."""

import pytest

from interest.events import Event
from interest.store.group_commit import TransactionalWriter
from tests.contracts.store_cases import Store, event, item


def test_a_transaction_is_seen_whole_or_not_at_all(store: Store) -> None:
    writer, reader = store
    with writer.transaction():
        writer.append([event("e1")])
        writer.put_items([item("i2")], None, "")
        assert (reader.counts()["events"], reader.log_seq()) == (0, 0)
    assert (reader.counts()["events"], reader.log_seq()) == (1, 2)
    with pytest.raises(KeyError), writer.transaction():
        append_and_fail(writer, event("e2"))
    assert (reader.counts()["events"], reader.log_seq()) == (1, 2)
    assert writer.append([event("e2")]).seq == 3


def test_a_savepoint_that_fails_takes_only_its_own_writes_and_numbers_back(store: Store) -> None:
    writer, reader = store
    with writer.transaction():
        with writer.savepoint():
            writer.append([event("e1", user_id="a", item_id="x")])
        with pytest.raises(KeyError), writer.savepoint():
            append_and_fail(writer, event("e2", user_id="b", item_id="y"))
        with writer.savepoint():
            writer.append([event("e3", user_id="c", item_id="z")])
    assert reader.user_ids() == ["a", "c"]
    assert reader.event_columns().seq.tolist() == [1, 2]
    assert writer.append([event("e2", user_id="b", item_id="y")]).accepted == 1


def append_and_fail(writer: TransactionalWriter, record: Event) -> None:
    writer.append([record])
    raise KeyError(record.event_id)

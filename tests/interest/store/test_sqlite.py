"""SQLite as Attune sets it up: durable, many readers, writers that take turns, nothing left of the erased."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, OperationalError

from interest.events import Event, EventType
from interest.store.dialect import reading_engine, writing_engine
from interest.store.open import open_reader, open_writer
from interest.store.schema import edits
from interest.store.sql_writer import SqlWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "attune.db"


@pytest.fixture
def writer(path: Path) -> Iterator[SqlWriter]:
    made = open_writer(f"sqlite:///{path}")
    yield made
    made.close()


def event(event_id: str, user_id: str = "u1", comment: str = "") -> Event:
    return Event(event_id=event_id, type=EventType.COMMENT, user_id=user_id, item_id="i1", timestamp=1e9, text=comment)


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 10_000), ("secure_delete", 1)],
)
def test_the_writers_connection_is_durable_and_strict(path: Path, pragma: str, expected: object) -> None:
    engine = writing_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert connection.execute(text(f"PRAGMA {pragma}")).scalar() == expected
    engine.dispose()


def test_a_readers_connection_cannot_write(path: Path, writer: SqlWriter) -> None:
    engine = reading_engine(f"sqlite:///{path}")
    with engine.connect() as connection, pytest.raises(OperationalError, match="readonly"):
        connection.execute(text("DELETE FROM meta"))
    engine.dispose()


def test_a_record_of_no_user_is_refused_by_the_database_itself(path: Path, writer: SqlWriter) -> None:
    engine = writing_engine(f"sqlite:///{path}")
    row = {"seq": 1, "record_id": "r", "body_hash": b"", "user_key": 99, "timestamp": 1.0, "replace": False}
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(edits), {**row, "facets": "[]"})
    engine.dispose()


def test_two_writers_take_turns_and_never_give_a_number_twice(path: Path, writer: SqlWriter) -> None:
    other = open_writer(f"sqlite:///{path}")

    def append_many(target: SqlWriter, name: str) -> None:
        for number in range(30):
            target.append([event(f"{name}{number}", user_id=f"{name}{number % 5}")])

    threads = [threading.Thread(target=append_many, args=each) for each in ((writer, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = open_reader(f"sqlite:///{path}")
    assert reader.event_columns().seq.tolist() == list(range(1, 61))
    assert len(set(reader.user_keys(reader.user_ids()).tolist())) == 10
    reader.close()
    other.close()


@pytest.mark.thorough
def test_one_reader_serves_many_threads_while_the_writer_writes(path: Path, writer: SqlWriter) -> None:
    reader = open_reader(f"sqlite:///{path}")
    stop, seen, torn = threading.Event(), [0] * 4, []

    def read(slot: int) -> None:
        while not stop.is_set():
            left, right = reader.profiles(["left", "right"])
            seen[slot] += 1
            if left.events != right.events:
                torn.append((left.events, right.events))

    threads = [threading.Thread(target=read, args=(slot,)) for slot in range(4)]
    for thread in threads:
        thread.start()
    for number in range(40):
        writer.append([event(f"l{number}", "left"), event(f"r{number}", "right")])
    stop.set()
    for thread in threads:
        thread.join()
    reader.close()
    assert torn == []
    assert min(seen) > 0


def test_a_reader_in_the_middle_of_a_transaction_holds_nobody_up(path: Path, writer: SqlWriter) -> None:
    reader = open_reader(f"sqlite:///{path}")
    with writer.transaction():
        writer.append([event("e1")])
        assert reader.counts()["events"] == 0
    assert reader.counts()["events"] == 1
    reader.close()


def test_nothing_of_an_erased_user_stays_in_the_file(path: Path, writer: SqlWriter) -> None:
    secret = "a-very-private-comment"
    writer.append([event(f"private-id-{number}", "private-user", secret) for number in range(50)])
    writer.append([event("other", "other-user")])
    writer.erase_user("private-user")
    writer.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"other-user" in files
    for trace in (secret, "private-user", "private-id-7"):
        assert trace.encode() not in files

"""Group commit: those who wait together are committed together, and each hears of its own writes only."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from interest.errors import ConflictingWrite, NotReady
from interest.events import Event, EventType
from interest.store.dialect import writing_engine
from interest.store.group_commit import GroupCommit
from interest.store.open import open_reader
from interest.store.protocol import StoreReader, StoreWriter
from interest.store.sql_writer import SqlWriter


def event(event_id: str, item_id: str = "i1") -> Event:
    return Event(event_id=event_id, type=EventType.VIEW, user_id="u1", item_id=item_id, timestamp=1e9)


class Gate:
    """Keeps the writer's thread busy until it is opened, so that callers pile up behind it."""

    def __init__(self) -> None:
        self._entered, self._open = threading.Event(), threading.Event()

    def __call__(self, _: StoreWriter) -> None:
        self._entered.set()
        self._open.wait()

    async def closed(self, commits: GroupCommit) -> asyncio.Task[None]:
        held = asyncio.create_task(commits.run(self))
        await asyncio.to_thread(self._entered.wait)
        return held

    def open(self) -> None:
        self._open.set()


class CountingWriter(SqlWriter):
    """Counts its transactions and can be made to fail just before the commit."""

    transactions = 0
    broken = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.transactions += 1
        with super().transaction():
            yield
            if self.broken:
                raise OSError("disk is full")


class House:
    """A database and its group commit."""

    def __init__(self, folder: Path, max_batch: int = 1000) -> None:
        url = f"sqlite:///{folder / 'attune.db'}"
        self.writer = CountingWriter(writing_engine(url))
        self.reader: StoreReader = open_reader(url)
        self.commits = GroupCommit(self.writer, max_batch)


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.commits.close()
    made.reader.close()


async def test_everyone_who_waits_is_committed_in_one_transaction(house: House) -> None:
    gate = Gate()
    held = await gate.closed(house.commits)
    waiting = [asyncio.create_task(house.commits.append([event(f"e{number}")])) for number in range(50)]
    await asyncio.sleep(0)
    before = house.writer.transactions
    gate.open()
    results = await asyncio.gather(*waiting)
    await held
    assert house.writer.transactions == before + 1
    assert sorted(result.seq for result in results) == list(range(1, 51))
    assert house.reader.counts()["events"] == 50


async def test_a_batch_is_never_larger_than_its_limit(tmp_path: Path) -> None:
    house = House(tmp_path, max_batch=20)
    gate = Gate()
    held = await gate.closed(house.commits)
    waiting = [asyncio.create_task(house.commits.append([event(f"e{number}")])) for number in range(50)]
    await asyncio.sleep(0)
    before = house.writer.transactions
    gate.open()
    await asyncio.gather(held, *waiting)
    assert house.writer.transactions == before + 3
    await house.commits.close()
    house.reader.close()


async def test_one_callers_conflict_fails_that_caller_alone(house: House) -> None:
    gate = Gate()
    held = await gate.closed(house.commits)
    calls = [[event("e1")], [event("e2"), event("e1", "other")], [event("e3")]]
    waiting = [asyncio.create_task(house.commits.append(call)) for call in calls]
    await asyncio.sleep(0)
    gate.open()
    first, second, third = await asyncio.gather(*waiting, return_exceptions=True)
    await held
    assert isinstance(second, ConflictingWrite)
    assert not isinstance(first, BaseException)
    assert not isinstance(third, BaseException)
    assert {found.event_id for found in house.reader.events_of("u1")} == {"e1", "e3"}


async def test_what_a_failed_operation_wrote_is_undone_whole(house: House) -> None:
    def writes_and_fails(writer: StoreWriter) -> None:
        writer.append([event("e1")])
        raise KeyError("on purpose")

    with pytest.raises(KeyError, match="on purpose"):
        await house.commits.run(writes_and_fails)
    assert house.reader.counts()["events"] == 0
    house.commits.check()


async def test_an_operation_gives_its_result_to_its_caller(house: House) -> None:
    assert await house.commits.run(lambda writer: writer.set_wanted_release("r1")) == 1
    assert house.reader.wanted_release() == "r1"


async def test_an_answer_means_that_other_connections_see_the_write(house: House) -> None:
    for number in range(20):
        result = await house.commits.append([event(f"e{number}")])
        assert house.reader.log_seq() == result.seq
        assert house.reader.profiles(["u1"])[0].events == number + 1


async def test_a_caller_who_leaves_takes_nothing_from_the_others(house: House) -> None:
    gate = Gate()
    held = await gate.closed(house.commits)
    leaving = asyncio.create_task(house.commits.append([event("e1"), event("e2")]))
    staying = asyncio.create_task(house.commits.append([event("e3")]))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.open()
    assert (await staying).accepted == 1
    await held
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert len({found.event_id for found in house.reader.events_of("u1")} & {"e1", "e2"}) in (0, 2)


async def test_a_commit_that_fails_is_told_to_everyone_in_it_and_to_the_health_check(house: House) -> None:
    house.writer.broken = True
    with pytest.raises(OSError, match="disk is full"):
        await house.commits.append([event("e1")])
    with pytest.raises(NotReady, match="OSError"):
        house.commits.check()
    house.writer.broken = False
    assert (await house.commits.append([event("e1")])).accepted == 1
    house.commits.check()


async def test_closing_writes_what_waits_and_takes_nothing_more(house: House) -> None:
    waiting = [asyncio.create_task(house.commits.append([event(f"e{number}")])) for number in range(30)]
    await asyncio.sleep(0)
    await house.commits.close()
    results = await asyncio.gather(*waiting)
    assert sum(result.accepted for result in results) == 30
    with pytest.raises(NotReady, match="closed"):
        await house.commits.append([event("late")])
    with pytest.raises(NotReady, match="thread has ended"):
        house.commits.check()


def test_a_caller_whose_loop_is_gone_does_not_stop_the_writer(tmp_path: Path) -> None:
    house = House(tmp_path)
    gate = Gate()

    async def leave_at_once() -> None:
        await gate.closed(house.commits)

    asyncio.run(leave_at_once())
    gate.open()

    async def stay() -> int:
        result = await house.commits.append([event("e1")])
        await house.commits.close()
        return result.accepted

    assert asyncio.run(stay()) == 1
    house.reader.close()

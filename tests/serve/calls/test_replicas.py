"""Which replica a call goes to, who waits, and what happens when replicas come and go."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from interest.errors import Overloaded
from serve.calls.replicas import NoReplica, Replicas
from serve.calls.wire import ReplicaLost
from tests.serve.calls.stage import Replica, asking, listening, number_of


@asynccontextmanager
async def following(*replicas: Replica, most_each: int = 8, most_waiting: int = -1) -> AsyncIterator[Replicas]:
    async with listening(*replicas) as places:
        followed = Replicas("tested", most_each, most_waiting, connect_s=1.0)
        await followed.follow(places)
        yield followed
        followed.close()


def calling(replicas: Replicas, numbers: Sequence[int]) -> dict[int, asyncio.Task[int]]:
    async def call(number: int) -> int:
        return number_of(await replicas.call(asking(number)))

    return {number: asyncio.ensure_future(call(number)) for number in numbers}


def let_go(*replicas: Replica) -> None:
    for replica in replicas:
        for held in replica.stage.may_answer.values():
            held.set()


async def test_without_a_replica_nothing_is_called() -> None:
    async with following() as replicas:
        assert len(replicas) == 0
        with pytest.raises(NoReplica):
            await replicas.call(asking(1))


async def test_calls_go_to_who_has_the_fewest_under_way() -> None:
    one, other = Replica(holds=True), Replica(holds=True)
    async with following(one, other) as replicas:
        calls = calling(replicas, range(6))
        await one.stage.until(lambda: len(one.stage.asked) == 3)
        await other.stage.until(lambda: len(other.stage.asked) == 3)
        let_go(one)
        await asyncio.wait([calls[number] for number in one.stage.asked])
        calls |= calling(replicas, range(6, 9))
        await one.stage.until(lambda: len(one.stage.asked) == 6)
        let_go(one, other)
        assert [await call for call in calls.values()] == list(range(9))
        assert len(other.stage.asked) == 3


async def test_beyond_what_replicas_take_calls_wait_in_order_and_beyond_that_they_are_refused() -> None:
    replica = Replica(holds=True)
    async with following(replica, most_each=2, most_waiting=2) as replicas:
        calls = calling(replicas, range(5))
        with pytest.raises(Overloaded, match=r"^tested: its queue is full$"):
            await calls.pop(4)
        await replica.stage.until(lambda: replica.stage.asked == [0, 1])
        replica.stage.may_answer[1].set()
        await replica.stage.until(lambda: replica.stage.asked == [0, 1, 2])
        later = calling(replicas, [5])
        replica.stage.may_answer[0].set()
        await replica.stage.until(lambda: replica.stage.asked == [0, 1, 2, 3])
        for number in (2, 3):
            replica.stage.may_answer[number].set()
        await replica.stage.until(lambda: replica.stage.asked == [0, 1, 2, 3, 5])
        replica.stage.may_answer[5].set()
        assert [await call for call in (calls | later).values()] == [0, 1, 2, 3, 5]


async def test_who_leaves_the_queue_makes_room_there_and_takes_none_at_a_replica() -> None:
    replica = Replica(holds=True)
    async with following(replica, most_each=1, most_waiting=1) as replicas:
        calls = calling(replicas, [0, 1])
        await replica.stage.until(lambda: replica.stage.asked == [0])
        calls[1].cancel()
        await asyncio.wait([calls[1]])
        calls |= calling(replicas, [2])
        await asyncio.sleep(0)
        replica.stage.may_answer[0].set()
        await calls[0]
        calls[2].cancel()  # its turn has come, but it has not heard of it
        await asyncio.wait([calls[2]])
        replica.stage.may_answer[3] = asyncio.Event()
        replica.stage.may_answer[3].set()
        assert await calling(replicas, [3])[3] == 3
        assert 1 not in replica.stage.asked


async def test_who_waits_when_the_last_replica_is_lost_is_told_that_there_is_none() -> None:
    replica = Replica(holds=True)
    async with following(replica, most_each=1) as replicas:
        calls = calling(replicas, [0, 1])
        await replica.stage.until(lambda: replica.stage.asked == [0])
        replica.die()
        with pytest.raises(ReplicaLost):
            await calls[0]
        with pytest.raises(NoReplica):
            await calls[1]
        async with asyncio.timeout(5):
            await replicas.changed.wait()
        assert replicas.places == set()


async def test_who_waits_goes_to_a_replica_that_comes() -> None:
    one, other = Replica(holds=True), Replica()
    async with listening(other), following(one, most_each=1) as replicas:
        calls = calling(replicas, [0, 1])
        await one.stage.until(lambda: one.stage.asked == [0])
        await replicas.follow({one.place, other.place})
        assert await calls[1] == 1
        let_go(one)
        assert await calls[0] == 0


async def test_a_replica_that_is_none_any_more_answers_what_it_was_asked_and_nothing_else() -> None:
    one, other = Replica(holds=True), Replica()
    async with listening(other), following(one) as replicas:
        calls = calling(replicas, [0])
        await one.stage.until(lambda: one.stage.asked == [0])
        await replicas.follow({other.place})
        assert await calling(replicas, [1])[1] == 1
        let_go(one)
        assert await calls[0] == 0
        assert one.stage.asked == [0]


async def test_a_replica_that_stops_fails_no_call() -> None:
    stopping, staying = Replica(), Replica()
    async with following(stopping, staying) as replicas:
        answers: list[int] = []

        async def calls() -> None:
            while stopping.place in replicas.places:
                answers.append(number_of(await replicas.call(asking(len(answers)))))

        callers = [asyncio.ensure_future(calls()) for _ in range(8)]
        await stopping.stage.until(lambda: len(stopping.stage.asked) >= 20)
        async with asyncio.timeout(5):
            await stopping.listener.stop(5.0)
            await asyncio.gather(*callers)
        assert replicas.places == {staying.place}
        assert len(answers) == len(stopping.stage.asked) + len(staying.stage.asked)


async def test_one_that_says_goodbye_while_nothing_is_under_way_is_left_at_once() -> None:
    replica = Replica()
    async with following(replica) as replicas, asyncio.timeout(5):
        await replica.listener.stop(5.0)
        assert len(replicas) == 0
        assert replicas.changed.is_set()


async def test_one_that_cannot_be_reached_is_told_once_in_the_log_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    replica = Replica()
    async with listening(replica) as places:
        pass
    replicas = Replicas("tested", 1, -1)
    for _ in range(2):
        await replicas.follow(places)
    assert len(caplog.records) == 1
    assert "a tested replica is not called directly" in caplog.text
    await replicas.follow(set())
    await replicas.follow(places)
    assert len(caplog.records) == 2


async def test_closing_ends_what_is_under_way() -> None:
    replica = Replica(holds=True)
    async with following(replica) as replicas:
        calls = calling(replicas, [0])
        await replica.stage.until(lambda: replica.stage.asked == [0])
        replicas.close()
        with pytest.raises(ReplicaLost):
            await calls[0]
        await replica.stage.until(lambda: replica.stage.cancelled == [0])


async def test_room_that_comes_as_a_waiting_caller_leaves_goes_to_the_next() -> None:
    replica = Replica(holds=True)
    async with following(replica, most_each=1) as replicas:
        calls = calling(replicas, [1])
        await replica.stage.until(lambda: replica.stage.asked == [1])
        calls |= calling(replicas, [2])
        await asyncio.sleep(0)  # it waits now
        await asyncio.sleep(0)
        (connection,) = replicas._connections.values()
        (answer,) = connection._calls.values()
        connection._calls.clear()
        answer.set_result(asking(1))  # in one turn of the loop: an answer, a new call, and who waits gives up
        calls |= calling(replicas, [3])
        calls[2].cancel()
        await replica.stage.until(lambda: replica.stage.asked == [1, 3])
        let_go(replica)
        assert await calls[3] == 3


async def test_a_connection_that_is_about_to_be_lost_is_not_chosen() -> None:
    one, other = Replica(), Replica()
    async with following(one, other) as replicas:
        first = next(iter(replicas._connections.values()))
        first.close()  # it is lost in the next turn of the loop
        calls = calling(replicas, range(4))
        assert [await call for call in calls.values()] == list(range(4))


async def test_when_all_connections_are_about_to_be_lost_there_is_no_replica() -> None:
    async with following(Replica()) as replicas:
        next(iter(replicas._connections.values())).close()
        with pytest.raises(NoReplica):
            await replicas.call(asking(1))

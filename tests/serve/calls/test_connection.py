"""Both ends of a connection: every call ends exactly once, whatever becomes of the other end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from interest.errors import AttuneError, InvalidRequest
from serve.calls import wire
from serve.calls.connection import Connection, connect
from serve.calls.wire import HEAD, Kind, Place, ReplicaLost, framed
from serve.streams.wire import ADMITTED, Unreachable
from tests.serve.calls.stage import HOST, Replica, asking, listening, number_of
from tests.serve.raw_tcp import hears


class Told:
    """What a connection has told of itself."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[bool] = asyncio.Queue()  # whether it was closed

    def __call__(self, connection: Connection) -> None:
        self.news.put_nowait(connection.closed)

    async def heard(self) -> bool:
        async with asyncio.timeout(5):
            return await self.news.get()


@asynccontextmanager
async def connected(replica: Replica) -> AsyncIterator[Connection]:
    connection = await connect(replica.place, 1.0, Told())
    yield connection
    connection.close()


async def test_a_call_brings_the_answer() -> None:
    replica = Replica()
    async with listening(replica), connected(replica) as connection:
        assert number_of(await connection.call(asking(7))) == 7


async def test_answers_come_in_any_order() -> None:
    replica = Replica(holds=True)
    async with listening(replica), connected(replica) as connection:
        calls = [asyncio.ensure_future(connection.call(asking(number))) for number in range(3)]
        await replica.stage.until(lambda: replica.stage.asked == [0, 1, 2])
        for number in (2, 0, 1):
            replica.stage.may_answer[number].set()
            assert number_of(await calls[number]) == number


async def test_large_answers_come_whole() -> None:
    replica = Replica()
    async with listening(replica), connected(replica) as connection:
        large = {"number": np.arange(1_000_000), "it": np.arange(1_000_000.0)}
        found = await asyncio.gather(*(connection.call(large) for _ in range(3)))
    for one in found:
        np.testing.assert_array_equal(one["it"], large["it"])


async def test_an_error_of_the_stage_is_the_callers_and_the_next_call_is_answered() -> None:
    replica = Replica()
    async with listening(replica), connected(replica) as connection:
        replica.stage.error = InvalidRequest("k=0: must be 1 or more", "k")
        with pytest.raises(InvalidRequest, match="k=0") as raised:
            await connection.call(asking(1))
        assert (raised.value.param, raised.value.status) == ("k", 422)
        replica.stage.error = None
        assert number_of(await connection.call(asking(2))) == 2


@pytest.mark.parametrize("error", [KeyError("secret"), asyncio.CancelledError()])
async def test_any_other_exception_is_told_by_its_class_and_stays_in_the_log(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    replica = Replica()
    async with listening(replica), connected(replica) as connection:
        replica.stage.error = error
        with pytest.raises(AttuneError, match=f"^tested: {type(error).__name__}$"):
            await connection.call(asking(1))
    assert "Traceback" in caplog.text


async def test_who_leaves_cancels_the_work_and_nobody_elses() -> None:
    replica = Replica(holds=True)
    async with listening(replica), connected(replica) as connection:
        leaving, staying = (asyncio.ensure_future(connection.call(asking(number))) for number in (1, 2))
        await replica.stage.until(lambda: replica.stage.asked == [1, 2])
        leaving.cancel()
        await replica.stage.until(lambda: replica.stage.cancelled == [1])
        replica.stage.may_answer[2].set()
        assert number_of(await staying) == 2


async def test_an_answer_that_comes_too_late_harms_nobody() -> None:
    replica = Replica(holds=True)
    async with listening(replica), connected(replica) as connection:
        leaving = asyncio.ensure_future(connection.call(asking(1)))
        await replica.stage.until(lambda: replica.stage.asked == [1])
        replica.stage.may_answer[1].set()
        await asyncio.sleep(0)
        leaving.cancel()
        staying = asyncio.ensure_future(connection.call(asking(2)))
        await replica.stage.until(lambda: 2 in replica.stage.asked)
        replica.stage.may_answer[2].set()
        assert number_of(await staying) == 2


async def test_calls_of_a_lost_connection_are_told_and_their_work_is_cancelled() -> None:
    replica = Replica(holds=True)
    async with listening(replica):
        told = Told()
        connection = await connect(replica.place, 1.0, told)
        calls = [asyncio.ensure_future(connection.call(asking(number))) for number in (1, 2)]
        await replica.stage.until(lambda: replica.stage.asked == [1, 2])
        replica.die()
        for call in calls:
            with pytest.raises(ReplicaLost, match="lost"):
                await call
        assert await told.heard()
        await replica.stage.until(lambda: sorted(replica.stage.cancelled) == [1, 2])
        with pytest.raises(ReplicaLost, match="closed"):
            await connection.call(asking(3))


async def test_a_replica_that_stops_says_so_and_answers_what_is_under_way_and_what_crosses_with_it() -> None:
    replica = Replica(holds=True)
    async with listening(replica):
        told = Told()
        connection = await connect(replica.place, 1.0, told)
        call = asyncio.ensure_future(connection.call(asking(1)))
        await replica.stage.until(lambda: replica.stage.asked == [1])
        stopping = asyncio.ensure_future(replica.listener.stop(5.0))
        crossing = asyncio.ensure_future(connection.call(asking(2)))
        assert not await told.heard()
        assert connection.leaving
        await replica.stage.until(lambda: replica.stage.asked == [1, 2])
        for number in (1, 2):
            replica.stage.may_answer[number].set()
        assert [number_of(await one) for one in (call, crossing)] == [1, 2]
        assert not stopping.done()
        connection.close()
        await stopping
        assert replica.stage.cancelled == []


async def test_one_whose_callers_stay_stops_all_the_same() -> None:
    replica = Replica(holds=True)
    async with listening(replica), connected(replica) as connection:
        call = asyncio.ensure_future(connection.call(asking(1)))
        await replica.stage.until(lambda: replica.stage.asked == [1])
        await replica.listener.stop(0.01)
        with pytest.raises(ReplicaLost):
            await call


async def test_what_cannot_be_sent_fails_for_its_own_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Replica()
    async with listening(replica), connected(replica) as connection:
        with pytest.raises(AttuneError, match="datetime64"):
            await connection.call({"it": np.zeros(1, "M8[s]")})
        monkeypatch.setattr(wire, "MAX_BODY_BYTES", 100)
        with pytest.raises(AttuneError, match="at most 100"):
            await connection.call({"number": np.zeros(1000)})
        assert number_of(await connection.call(asking(1))) == 1


async def test_an_answer_that_cannot_be_sent_is_an_error_of_its_call() -> None:
    replica = Replica()

    async def wrong(tensors: object) -> dict[str, object]:
        return {"it": np.zeros(1, "M8[s]")}

    replica.listener.infer = wrong  # type: ignore[assignment]
    async with listening(replica), connected(replica) as connection:
        with pytest.raises(AttuneError, match="datetime64"):
            await connection.call(asking(1))


async def test_who_does_not_know_the_key_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    replica = Replica()
    async with listening(replica):
        with pytest.raises(Unreachable, match=rf"{HOST}:\d+: "):
            await connect(replace(replica.place, key=bytes(32)), 1.0, Told())
    assert "it does not know the key" in caplog.text
    assert replica.stage.asked == []


async def test_who_says_no_key_is_refused_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    replica = Replica(admit_s=0.01)
    async with listening(replica):
        assert await hears(replica.place.host, replica.place.port, replica.place.key[:31]) == b""
    assert "no key within 0.01 s" in caplog.text


@pytest.mark.parametrize(
    "nonsense",
    [
        HEAD.pack(2**31 - 8, Kind.CALL, 1),
        HEAD.pack(0, Kind.ANSWER, 1),
        HEAD.pack(0, 77, 1),
        HEAD.pack(0, Kind.CALL, 1),
        b"".join(framed(Kind.CALL, 1, [bytes(16)])),
        b"GET / HTTP/1.1\r\nHost: me\r\n\r\n",
    ],
)
async def test_frames_that_make_no_sense_end_the_connection_and_no_other(
    nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    replica = Replica()
    async with listening(replica), connected(replica) as connection:
        assert await hears(replica.place.host, replica.place.port, replica.place.key + nonsense) == ADMITTED
        assert "is refused" in caplog.text
        assert number_of(await connection.call(asking(1))) == 1


@pytest.mark.parametrize(
    "answer", [b"H", ADMITTED + HEAD.pack(0, Kind.CANCEL, 1), ADMITTED + HEAD.pack(0, Kind.ERROR, 1), b""]
)
async def test_whoever_else_listens_there_is_none_that_answers(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()

    caplog.set_level(logging.INFO)
    async with await asyncio.start_server(says, HOST, 0) as server:
        place = Place(HOST, server.sockets[0].getsockname()[1], bytes(32))
        told = Told()
        if answer.startswith(ADMITTED):
            await connect(place, 0.2, told)
        else:
            with pytest.raises(Unreachable):
                await connect(place, 0.2, told)
        assert await told.heard()


async def test_where_nobody_listens_nobody_is_reached() -> None:
    replica = Replica()
    async with listening(replica):
        place = replica.place
    with pytest.raises(Unreachable):
        await connect(place, 1.0, Told())

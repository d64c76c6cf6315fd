"""Parts of streams as they are sent: who cannot send them says so, and harms no other stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from interest.errors import AttuneError
from serve.model import Parts
from serve.streams import connection, wire
from serve.streams.listener import Listener
from serve.streams.senders import Senders
from serve.streams.wire import ADMITTED, Destination, PartsLost, Sent, Unreachable
from tests.serve.streams.answers import HOST, Answer, received

LARGE = b"x" * 2**23  # more than the buffers of two sockets hold


class Server:
    """What listens at a port but is no listener of streams: it does with each connection what the test says."""

    def __init__(self, greet: Any) -> None:
        self._greet = greet

    async def __aenter__(self) -> Destination:
        self._server = await asyncio.start_server(self._greet, HOST, 0)
        return Destination(HOST, self._server.sockets[0].getsockname()[1], b"key", 0)

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(1)
    writer.transport.abort()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def be_another(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0")
    await reader.read()
    writer.close()


async def test_who_cannot_connect_says_so_before_the_answer_begins(listener: Listener, senders: Senders) -> None:
    with listener.stream() as stream:
        nowhere = replace(stream.destination, port=1)
        answer = Answer("a")
        for _ in range(2):
            with pytest.raises(Unreachable):
                await senders.send(answer.parts(), nowhere)
        assert not answer.begun
    assert not senders._connecting


@pytest.mark.parametrize("greet", [reset, hang_up, be_silent, be_another])
async def test_who_is_accepted_but_not_admitted_has_reached_nobody(greet: Any) -> None:
    senders, answer = Senders(connect_s=0.2), Answer("a")
    async with Server(greet) as destination, asyncio.timeout(5):
        with pytest.raises(Unreachable):
            await senders.send(answer.parts(), destination)
    assert not answer.begun


async def test_a_listener_that_is_gone_ends_the_answer_and_is_connected_to_anew(senders: Senders) -> None:
    first = Listener()
    await first.start(HOST)
    with first.stream() as stream:
        answer = Answer("ab" * 1000, "hang")
        sending = asyncio.ensure_future(senders.send(answer.parts(), stream.destination))
        await stream._arrivals.get()
        first.close()
        with pytest.raises(PartsLost):
            await sending
    assert answer.ended
    async with asyncio.timeout(5):
        while senders._connecting:
            await asyncio.sleep(0)


async def test_a_lost_connection_ends_its_streams_without_a_wait_for_their_last_parts(senders: Senders) -> None:
    listener = Listener(last_parts_s=60)
    await listener.start(HOST)
    with listener.stream() as stream:
        answer = Answer("a" * 100_000)
        async with (
            aclosing(stream.of(senders.send(answer.parts(), stream.destination))) as growing,
            asyncio.timeout(30),
        ):
            await anext(growing)
            listener.close()
            with pytest.raises(PartsLost):
                async for _ in growing:
                    pass


async def test_a_connection_that_is_lost_is_forgotten_alone(listener: Listener, senders: Senders) -> None:
    with listener.stream() as stream:
        to = stream.destination
        await senders.send(Answer("a").parts(), to)
        place = (to.host, to.port, to.key)
        lost = senders._connecting[place]
        another: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        senders._connecting[place] = another
        (await lost).close()
        await (await lost).lost
        await asyncio.sleep(0)
        assert senders._connecting == {place: another}


async def test_parts_that_cannot_be_encoded_harm_their_own_stream_alone(listener: Listener, senders: Senders) -> None:
    wrong: Any = object()

    async def unencodable() -> AsyncGenerator[Parts, None]:
        yield [(0, wrong)]

    found: list[bytes] = []
    other = asyncio.ensure_future(received(listener, senders, Answer("abcd").parts(), found))
    with pytest.raises(TypeError):
        await received(listener, senders, unencodable(), [])
    await other
    assert found == [b"a", b"b", b"c", b"d"]
    await received(listener, senders, Answer("e").parts(), found)
    assert found[4:] == [b"e"]


async def test_parts_too_large_for_a_frame_end_their_own_stream_alone(
    listener: Listener, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner in (wire, connection):
        monkeypatch.setattr(owner, "MAX_ENTRY_BYTES", 20)
    monkeypatch.setattr(wire, "MAX_FRAME_BYTES", 25)

    async def too_large() -> AsyncGenerator[Parts, None]:
        yield [(0, b"abc")]
        yield [(0, b"x" * 20)]

    found: list[bytes] = []
    others = [asyncio.ensure_future(received(listener, senders, Answer("abcd").parts(), found)) for _ in range(5)]
    before: list[bytes] = []
    with pytest.raises(AttuneError, match="at most 20"):
        await received(listener, senders, too_large(), before)
    await asyncio.gather(*others)
    assert before == [b"abc"]
    assert sorted(found) == sorted([b"a", b"b", b"c", b"d"] * 5)
    assert len(listener._connections) == 1


async def test_a_listener_that_does_not_keep_up_is_waited_for(senders: Senders) -> None:
    may_read = asyncio.Event()
    all_read: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ADMITTED)
        await may_read.wait()
        all_read.set_result(len(await reader.read()))
        writer.close()

    asked: list[int] = []

    async def many() -> AsyncGenerator[Parts, None]:
        for number in range(4):
            asked.append(number)
            yield [(0, LARGE)]
            await asyncio.sleep(0)

    async with Server(slowly) as destination:
        sending = asyncio.ensure_future(senders.send(many(), destination))
        assert not (await asyncio.wait([sending], timeout=0.3))[0]
        assert len(asked) < 4
        may_read.set()
        assert await sending == Sent(4)
        senders.close()
        assert await all_read > 4 * len(LARGE)

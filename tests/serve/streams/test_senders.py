"""Parts of streams from replica to replica: all in order, one end each, and nobody else's."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest
import pytest_asyncio

from interest.errors import InvalidRequest, NotReady
from serve import direct_stream
from serve.direct_stream import Destination, Listener, Senders, Sent, Unreachable
from serve.model import Parts

HOST = "127.0.0.1"
LARGE = b"x" * 2**23  # more than the buffers of two sockets hold


class Answer:
    """Says its words one a turn of the loop; then it ends, fails, or waits for ever."""

    def __init__(self, words: str, then: Exception | str = "end") -> None:
        self.words = words
        self.then = then
        self.begun = self.ended = False

    async def parts(self) -> AsyncGenerator[Parts, None]:
        self.begun = True
        try:
            for word in self.words:
                yield [(0, word.encode())]
                await asyncio.sleep(0)
            if isinstance(self.then, Exception):
                raise self.then
            if self.then == "hang":
                await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest_asyncio.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    await listener.start(HOST)
    yield listener
    listener.close()


@pytest_asyncio.fixture
async def senders() -> AsyncIterator[Senders]:
    senders = Senders()
    yield senders
    senders.close()


async def received(listener: Listener, senders: Senders, answer: Answer, into: list[bytes]) -> None:
    """Puts what comes `into` the list."""
    with listener.stream() as stream:
        async with aclosing(stream.of(senders.send(answer.parts(), stream.destination))) as growing:
            async for parts in growing:
                into.extend(body for _, body in parts)


async def test_every_stream_gets_its_own_parts_in_order(listener: Listener, senders: Senders) -> None:
    answers = [Answer("abcdefg"), Answer(""), Answer("xyz")]
    found: list[list[bytes]] = [[], [], []]
    await asyncio.gather(*(received(listener, senders, one, into) for one, into in zip(answers, found, strict=True)))
    assert [b"".join(words).decode() for words in found] == [one.words for one in answers]
    assert len(listener._connections) == 1


async def test_an_error_comes_after_the_parts_before_it(listener: Listener, senders: Senders) -> None:
    found: list[bytes] = []
    with pytest.raises(InvalidRequest, match="no more"):
        await received(listener, senders, Answer("ab", InvalidRequest("no more")), found)
    assert found == [b"a", b"b"]


async def test_what_the_call_itself_raises_is_raised(listener: Listener, senders: Senders) -> None:
    with pytest.raises(ZeroDivisionError):
        await received(listener, senders, Answer("ab", ZeroDivisionError()), [])


async def test_closing_a_stream_ends_its_answer(listener: Listener, senders: Senders) -> None:
    answer = Answer("a", "hang")
    with listener.stream() as stream:
        async with aclosing(stream.of(senders.send(answer.parts(), stream.destination))) as growing:
            assert await anext(growing) == [(0, b"a")]
    assert answer.ended
    assert not listener._streams


async def test_who_cannot_connect_says_so_before_the_answer_begins(listener: Listener, senders: Senders) -> None:
    with listener.stream() as stream:
        nowhere = replace(stream.destination, port=1)
        answer = Answer("a")
        for _ in range(2):
            with pytest.raises(Unreachable):
                await senders.send(answer.parts(), nowhere)
        assert not answer.begun


async def test_a_listener_that_is_gone_ends_the_answer_and_is_connected_to_anew(senders: Senders) -> None:
    first = Listener()
    await first.start(HOST)
    with first.stream() as stream:
        answer = Answer("ab" * 1000, "hang")
        sending = asyncio.ensure_future(senders.send(answer.parts(), stream.destination))
        await stream._arrivals.get()
        first.close()
        sent = await sending
    assert isinstance(sent.error, NotReady)
    assert answer.ended
    assert not senders._connecting


async def test_parts_that_do_not_come_are_missed(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_stream, "LAST_PARTS_S", 0.01)

    async def call() -> Sent:
        return Sent(2)

    with listener.stream() as stream:
        stream.arrived([(0, b"a")])
        growing = stream.of(call())
        assert await anext(growing) == [(0, b"a")]
        with pytest.raises(NotReady, match="lost"):
            await anext(growing)


@pytest.mark.parametrize("after_key", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1"])
async def test_who_sends_nonsense_is_refused(listener: Listener, after_key: bytes) -> None:
    with listener.stream() as stream:
        assert await _refused(stream.destination, stream.destination.key + after_key)


async def test_who_does_not_know_the_key_is_refused(listener: Listener) -> None:
    with listener.stream() as stream:
        assert await _refused(stream.destination, b"?" * len(stream.destination.key) + b"\0\0\0\1\x90")


async def test_a_listener_that_does_not_keep_up_is_waited_for() -> None:
    may_read = asyncio.Event()
    all_read: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        all_read.set_result(len(await reader.read()))
        writer.close()

    asked: list[int] = []

    async def many() -> AsyncGenerator[Parts, None]:
        for number in range(4):
            asked.append(number)
            yield [(0, LARGE)]
            await asyncio.sleep(0)

    server = await asyncio.start_server(slowly, HOST, 0)
    senders = Senders()
    sending = asyncio.ensure_future(senders.send(many(), Destination(HOST, server.sockets[0].getsockname()[1], b"", 0)))
    assert not (await asyncio.wait([sending], timeout=0.3))[0]
    assert len(asked) < 4
    may_read.set()
    assert await sending == Sent(4)
    senders.close()
    assert await all_read > 4 * len(LARGE)
    server.close()
    await server.wait_closed()


async def _refused(to: Destination, words: bytes) -> bool:
    """Whether the listener hangs up."""
    reader, writer = await asyncio.open_connection(to.host, to.port)
    writer.write(words)
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True
    finally:
        writer.close()

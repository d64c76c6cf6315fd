"""Parts of streams as they come: all in order, one end each, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from interest.errors import InvalidRequest, NotReady
from serve.streams.listener import Listener
from serve.streams.senders import Senders
from serve.streams.wire import ADMITTED, PartsLost, Sent
from tests.serve.raw_tcp import hears
from tests.serve.streams.answers import HOST, Answer, received


@pytest_asyncio.fixture
async def impatient() -> AsyncIterator[Listener]:
    impatient = Listener(admit_s=0.01, last_parts_s=0.01)
    await impatient.start(HOST)
    yield impatient
    impatient.close()


async def sent(parts: int) -> Sent:
    return Sent(parts)


async def test_every_stream_gets_its_own_parts_in_order(listener: Listener, senders: Senders) -> None:
    answers = [Answer("abcdefg"), Answer(""), Answer("xyz")]
    found: list[list[bytes]] = [[], [], []]
    both = zip(answers, found, strict=True)
    await asyncio.gather(*(received(listener, senders, one.parts(), into) for one, into in both))
    assert [b"".join(words).decode() for words in found] == [one.words for one in answers]
    assert len(listener._connections) == 1


async def test_an_error_comes_after_the_parts_before_it(listener: Listener, senders: Senders) -> None:
    found: list[bytes] = []
    with pytest.raises(InvalidRequest, match="no more"):
        await received(listener, senders, Answer("ab", InvalidRequest("no more")).parts(), found)
    assert found == [b"a", b"b"]


async def test_what_the_call_itself_raises_is_raised(listener: Listener, senders: Senders) -> None:
    with pytest.raises(ZeroDivisionError):
        await received(listener, senders, Answer("ab", ZeroDivisionError()).parts(), [])


async def test_closing_a_stream_ends_its_answer(listener: Listener, senders: Senders) -> None:
    answer = Answer("a", "hang")
    with listener.stream() as stream:
        async with aclosing(stream.of(senders.send(answer.parts(), stream.destination))) as growing:
            assert await anext(growing) == [(0, b"a")]
    assert answer.ended
    assert not listener._streams


async def test_parts_that_do_not_come_are_missed(impatient: Listener) -> None:
    with impatient.stream() as stream:
        stream.arrived([(0, b"a")])
        growing = stream.of(sent(2))
        assert await anext(growing) == [(0, b"a")]
        with pytest.raises(PartsLost):
            await anext(growing)


async def test_more_parts_than_were_sent_are_no_answer(listener: Listener) -> None:
    with listener.stream() as stream:
        for _ in range(2):
            stream.arrived([(0, b"a")])
        with pytest.raises(NotReady, match="1 parts has brought 2"):
            _ = [parts async for parts in stream.of(sent(1))]


@pytest.mark.parametrize("after_key", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1"])
async def test_who_sends_nonsense_is_refused(listener: Listener, after_key: bytes) -> None:
    with listener.stream() as stream:
        await hears(stream.destination.host, stream.destination.port, stream.destination.key + after_key)
    assert not listener._connections


async def test_only_who_knows_the_key_is_admitted(listener: Listener) -> None:
    with listener.stream() as stream:
        key = stream.destination.key
        assert await hears(stream.destination.host, stream.destination.port, b"?" * len(key)) == b""
        reader, writer = await asyncio.open_connection(stream.destination.host, stream.destination.port)
        writer.write(key)
        async with asyncio.timeout(5):
            assert await reader.readexactly(len(ADMITTED)) == ADMITTED
        writer.close()


async def test_who_does_not_say_the_key_in_time_is_refused(
    impatient: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    with impatient.stream() as stream:
        assert await hears(stream.destination.host, stream.destination.port, stream.destination.key[:-1]) == b""
    assert "has not said the key" in caplog.text

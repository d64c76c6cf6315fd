"""What the two ends of streams share."""

import asyncio
import socket
import sys

import pytest

from interest.errors import AttuneError
from serve.streams import wire
from serve.streams.listener import Listener
from serve.streams.senders import Senders
from serve.streams.wire import SILENT_S, Destination, entry_of, frame_of, read_frame
from tests.serve.streams.answers import Answer, received


def reader_of(words: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(words)
    reader.feed_eof()
    return reader


async def test_a_frame_is_read_as_it_was_written() -> None:
    reader = reader_of(frame_of([entry_of(3, [(0, b"a"), (7, b"b")]), entry_of(4, [])]) + frame_of([]))
    assert await read_frame(reader) == [(3, [(0, b"a"), (7, b"b")]), (4, [])]
    assert await read_frame(reader) == []
    with pytest.raises(EOFError):
        await read_frame(reader)


def test_parts_that_fit_in_no_frame_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(entry_of(0, [(0, b"abc")]))
    monkeypatch.setattr(wire, "MAX_ENTRY_BYTES", size)
    entry_of(0, [(0, b"abc")])
    with pytest.raises(AttuneError, match=f"{size + 1} bytes at once, at most {size}"):
        entry_of(0, [(0, b"abcd")])


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Destination("host", 1, b"secret", 2))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the option")
async def test_both_ends_notice_that_the_other_one_has_vanished(listener: Listener, senders: Senders) -> None:
    await received(listener, senders, Answer("a").parts(), [])
    (incoming,) = listener._connections
    (outgoing,) = senders._connecting.values()
    for writer in (incoming, (await outgoing)._writer):
        end = writer.get_extra_info("socket")
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < SILENT_S
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * SILENT_S

"""Parts of streamed answers, from replica to replica over one TCP connection for all of them: what the two ends share.

A part of a stream of Ray Serve's own is a gRPC message with a dozen coroutines on either side: of many small answers
they cost more than the language model. Here everything that the answers of a replica have new in the same turn of its
loop is one write.

The call itself stays Ray Serve's, which chooses the replica, counts it and cancels it. With it travels the
`Destination` that a listener has given the stream. Who answers connects once to each listener, says its key, waits for
`ADMITTED`, and writes frames: their length in 4 bytes, big-endian, then MessagePack [[stream, parts], ...] with parts
[[row, JSON], ...]. The call ends with what was `Sent` when all of it is.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interest.errors import AttuneError, NotReady
from serve.model import Parts

KEY_BYTES = 32
ADMITTED = b"\1"
LENGTH_BYTES = 4
MAX_FRAME_BYTES = 2**28
MAX_ENTRY_BYTES = MAX_FRAME_BYTES - 5  # beside the head of the array around it
CONNECT_S = 1.0  # until the listener has admitted who connects
SILENT_S = 5  # a connection whose other end does not acknowledge for so long is lost

Frame = list[tuple[int, Parts]]
_frames = msgspec.msgpack.Decoder(Frame)


class Unreachable(NotReady):
    """Who should answer cannot connect to the listener: nothing has been done for the call yet."""


class PartsLost(NotReady):
    """Parts of a stream were sent and did not come, or can no longer be sent."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the parts of one stream go."""

    host: str
    port: int
    key: bytes = field(repr=False)  # of the listener: whoever knows it may send
    stream: int


@dataclass(frozen=True, slots=True)
class Sent:
    """How many parts were sent, and what went wrong after them."""

    parts: int
    error: AttuneError | None = None


def entry_of(stream: int, parts: Parts) -> bytes:
    """What is new of one stream, for a frame. Raises `AttuneError` when it fits in none."""
    entry = msgspec.msgpack.encode((stream, parts))
    if len(entry) > MAX_ENTRY_BYTES:
        raise AttuneError(f"parts of a stream: {len(entry)} bytes at once, at most {MAX_ENTRY_BYTES}")
    return entry


def frame_of(entries: Sequence[bytes]) -> bytes:
    """A frame and its length; the entries are `MAX_ENTRY_BYTES` together at most."""
    body = msgspec.msgpack.encode([msgspec.Raw(entry) for entry in entries])
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Raises `ValueError` or `msgspec.MsgspecError` for nonsense; `OSError`, `EOFError` when the connection ends."""
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes, at most {MAX_FRAME_BYTES}")
    return _frames.decode(await reader.readexactly(length))


def notice_silence(writer: asyncio.StreamWriter | asyncio.BaseTransport) -> None:
    """Have the system end the connection `SILENT_S` after the other end has vanished without a word."""
    end: Any = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * SILENT_S)

"""Parts of streamed answers, from replica to replica over one TCP connection for all of them.

A part of a stream of Ray Serve's own is a gRPC message with a dozen coroutines on either side: of many small answers
they cost more than the language model. Here everything that the answers of a replica have new in the same turn of its
loop is one write.

The call itself stays Ray Serve's, which chooses the replica, counts it and cancels it. With it travels the
`Destination` that a `Listener` has given the stream; who answers connects once to each listener, says its key, and
writes frames: their length in 4 bytes, big-endian, then MessagePack [[stream, [[row, JSON], ...]], ...]. The call
returns what was `Sent` when all of it is.
"""

import asyncio
import hmac
import itertools
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from interest.errors import AttuneError, NotReady
from serve.model import Parts

KEY_BYTES = 32
LENGTH_BYTES = 4
MAX_FRAME_BYTES = 2**28
CONNECT_S = 1.0
LAST_PARTS_S = 5.0  # parts may come so long after the call that sent them has ended

Frame = list[tuple[int, Parts]]
_frames = msgspec.msgpack.Decoder(Frame)
log = logging.getLogger("attune.streams")


class Unreachable(NotReady):
    """Who should answer cannot connect to the listener: nothing has been done for the call yet."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the parts of one stream go."""

    host: str
    port: int
    key: bytes  # of the listener: whoever knows it may send
    stream: int


@dataclass(frozen=True, slots=True)
class Sent:
    """How many parts were sent, and what went wrong after them."""

    parts: int
    error: AttuneError | None = None


class Listener:
    """Receives the parts of the streams that it opens."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_BYTES)
        self._numbers = itertools.count()
        self._streams: dict[int, IncomingStream] = {}
        self._connections: set[_Incoming] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str) -> None:
        """Listen on a free port of this address. Raises `OSError`."""
        make = lambda: _Incoming(self._key, self._connections, self._arrived)  # noqa: E731  # its type is asyncio's
        self._server = await asyncio.get_running_loop().create_server(make, host, 0)

    @contextmanager
    def stream(self) -> Iterator["IncomingStream"]:
        """A new stream; what comes for it afterwards is dropped."""
        assert self._server is not None, "it was started"
        host, port = self._server.sockets[0].getsockname()[:2]
        number = next(self._numbers)
        self._streams[number] = stream = IncomingStream(Destination(host, port, self._key, number))
        try:
            yield stream
        finally:
            del self._streams[number]

    def close(self) -> None:
        """End every connection; calling it twice is harmless."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()

    def _arrived(self, frame: Frame) -> None:
        for number, parts in frame:
            if (stream := self._streams.get(number)) is not None:
                stream.arrived(parts)


class IncomingStream:
    """One stream of a listener."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._arrivals: asyncio.Queue[Parts | None] = asyncio.Queue()  # None: the call has ended

    def arrived(self, parts: Parts) -> None:
        self._arrivals.put_nowait(parts)

    async def of(self, call: Awaitable[Sent]) -> AsyncGenerator[Parts, None]:
        """All that this call sends, in order. Closing the iterator cancels the call.

        Raises what the call raises at once; what it says went wrong, after the parts before it; `NotReady` when parts
        that were sent do not come.
        """
        ended = asyncio.ensure_future(call)
        ended.add_done_callback(lambda _: self._arrivals.put_nowait(None))
        received = 0
        try:
            while not ended.done() or received < ended.result().parts:
                parts = await (self._last() if ended.done() else self._arrivals.get())
                if parts is not None:
                    received += 1
                    yield parts
            if (error := ended.result().error) is not None:
                raise error
        finally:
            ended.cancel()
            await asyncio.wait([ended])

    async def _last(self) -> Parts | None:
        try:
            async with asyncio.timeout(LAST_PARTS_S):
                return await self._arrivals.get()
        except TimeoutError as error:
            raise NotReady("the last parts of a stream were lost on their way") from error


class Senders:
    """The connections of one replica to the listeners that it has sent to."""

    def __init__(self) -> None:
        self._connecting: dict[tuple[str, int, bytes], asyncio.Future[_Outgoing]] = {}

    async def send(self, answer: AsyncGenerator[Parts, None], destination: Destination) -> Sent:
        """Send all of the answer; when cancelled, close it. Raises `Unreachable` before it asks for the first part."""
        connection, parts_sent = await self._connected(destination), 0
        try:
            async for parts in answer:
                await connection.send(destination.stream, parts)
                parts_sent += 1
        except AttuneError as error:
            return Sent(parts_sent, error)
        finally:
            await answer.aclose()
        return Sent(parts_sent)

    def close(self) -> None:
        """End every connection; calling it twice is harmless."""
        for connecting in self._connecting.values():
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().close()
            connecting.cancel()
        self._connecting.clear()

    async def _connected(self, to: Destination) -> "_Outgoing":
        listener = (to.host, to.port, to.key)
        if listener not in self._connecting:
            self._connecting[listener] = asyncio.ensure_future(self._connect(to))
            self._connecting[listener].add_done_callback(_retrieved)
        return await asyncio.shield(self._connecting[listener])  # the others who wait may want it still

    async def _connect(self, to: Destination) -> "_Outgoing":
        def lost() -> None:
            self._connecting.pop((to.host, to.port, to.key), None)

        try:
            async with asyncio.timeout(CONNECT_S):
                make = lambda: _Outgoing(to.key, lost)  # noqa: E731  # its type is asyncio's
                _, connection = await asyncio.get_running_loop().create_connection(make, to.host, to.port)
        except OSError as error:  # a TimeoutError is one
            lost()
            raise Unreachable(f"{to.host}:{to.port}: {type(error).__name__}") from error
        return connection


class _Incoming(asyncio.Protocol):
    """A connection to a listener."""

    def __init__(self, key: bytes, connections: "set[_Incoming]", arrived: Callable[[Frame], None]) -> None:
        self._key = key
        self._connections = connections
        self._arrived = arrived
        self._admitted = False
        self._buffer = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            if self._admitted or self._admits():
                while (frame := self._next_frame()) is not None:
                    self._arrived(_frames.decode(frame))
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("a sender of parts of streams is refused: %s", error)
            self._transport.abort()

    def _admits(self) -> bool:
        if len(self._buffer) < KEY_BYTES:
            return False
        if not hmac.compare_digest(self._buffer[:KEY_BYTES], self._key):
            raise ValueError("it does not know the key")
        del self._buffer[:KEY_BYTES]
        self._admitted = True
        return True

    def _next_frame(self) -> bytes | None:
        if len(self._buffer) < LENGTH_BYTES:
            return None
        end = LENGTH_BYTES + int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if end > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {end} bytes, at most {MAX_FRAME_BYTES}")
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[LENGTH_BYTES:end])
        del self._buffer[:end]
        return frame


class _Outgoing(asyncio.Protocol):
    """A connection to a listener, at the end that sends."""

    def __init__(self, key: bytes, lost: Callable[[], None]) -> None:
        """`lost` is called when the connection is."""
        self._key = key
        self._lost = lost
        self._transport: Any = None
        self._frame: Frame = []
        self._writable = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._transport.write(self._key)
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._lost()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def close(self) -> None:
        self._transport.close()

    async def send(self, stream: int, parts: Parts) -> None:
        """Waits while the listener does not keep up. Raises `NotReady` when the connection is lost."""
        if not self._writable.is_set():
            await self._writable.wait()
        if self._transport.is_closing():
            raise NotReady("the connection for parts of streams is lost")
        if not self._frame:
            asyncio.get_running_loop().call_soon(self._flush)
        self._frame.append((stream, parts))

    def _flush(self) -> None:
        body = msgspec.msgpack.encode(self._frame)
        self._frame = []
        if not self._transport.is_closing():
            self._transport.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)


def _retrieved(future: "asyncio.Future[_Outgoing]") -> None:
    """Who asked for it may have left before it failed."""
    if not future.cancelled():
        future.exception()

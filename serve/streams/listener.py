"""The end that receives: one port of a process, and the streams that it has opened."""

import asyncio
import hmac
import itertools
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager

import msgspec

from interest.errors import NotReady
from serve.model import Parts
from serve.streams.wire import ADMITTED, CONNECT_S, KEY_BYTES, Destination, PartsLost, Sent, notice_silence, read_frame

LAST_PARTS_S = 5.0  # parts may come so long after the call that sent them has ended
BUFFER_BYTES = 2**20

log = logging.getLogger("attune.streams")


class IncomingStream:
    """One stream of a listener."""

    def __init__(self, destination: Destination, last_parts_s: float) -> None:
        self.destination = destination
        self._last_parts_s = last_parts_s
        self._arrivals: asyncio.Queue[Parts | None] = asyncio.Queue()  # None: the call has ended

    def arrived(self, parts: Parts) -> None:
        self._arrivals.put_nowait(parts)

    async def of(self, call: Awaitable[Sent]) -> AsyncGenerator[Parts, None]:
        """All that this call sends, in order. Closing the iterator cancels the call.

        Raises what the call raises at once; what it says went wrong, after the parts before it; `PartsLost` when parts
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
            sent = ended.result()
            if received > sent.parts:
                raise NotReady(f"a stream of {sent.parts} parts has brought {received}")
            if sent.error is not None:
                raise sent.error
        finally:
            ended.cancel()
            await asyncio.wait([ended])

    async def _last(self) -> Parts | None:
        try:
            async with asyncio.timeout(self._last_parts_s):
                return await self._arrivals.get()
        except TimeoutError as error:
            raise PartsLost("the last parts of a stream were lost on their way") from error


class Listener:
    """Receives the parts of the streams that it opens."""

    def __init__(self, admit_s: float = CONNECT_S, last_parts_s: float = LAST_PARTS_S) -> None:
        self._admit_s = admit_s
        self._last_parts_s = last_parts_s
        self._key = secrets.token_bytes(KEY_BYTES)
        self._numbers = itertools.count()
        self._streams: dict[int, IncomingStream] = {}
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str) -> None:
        """Listen on a free port of this address. Raises `OSError`."""
        self._server = await asyncio.start_server(self._receive, host, 0, limit=BUFFER_BYTES)

    @contextmanager
    def stream(self) -> Iterator[IncomingStream]:
        """A new stream; what comes for it afterwards is dropped."""
        assert self._server is not None, "it was started"
        host, port = self._server.sockets[0].getsockname()[:2]
        number = next(self._numbers)
        self._streams[number] = stream = IncomingStream(Destination(host, port, self._key, number), self._last_parts_s)
        try:
            yield stream
        finally:
            del self._streams[number]

    def close(self) -> None:
        """End every connection; calling it twice is harmless."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.close()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            notice_silence(writer)
            await self._admit(reader)
            writer.write(ADMITTED)
            while True:
                for number, parts in await read_frame(reader):
                    if (stream := self._streams.get(number)) is not None:
                        stream.arrived(parts)
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("a sender of parts of streams is refused: %s", error)
        except (OSError, EOFError) as error:
            log.info("a sender of parts of streams has gone: %s", error)
        finally:
            self._connections.discard(writer)
            writer.transport.abort()

    async def _admit(self, reader: asyncio.StreamReader) -> None:
        try:
            async with asyncio.timeout(self._admit_s):
                key = await reader.readexactly(KEY_BYTES)
        except TimeoutError as error:
            raise ValueError(f"it has not said the key in {self._admit_s} s") from error
        if not hmac.compare_digest(key, self._key):
            raise ValueError("it does not know the key")

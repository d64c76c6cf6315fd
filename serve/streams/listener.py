"""The end that receives: one port of a process, and the streams that it has opened."""

import asyncio
import hmac
import itertools
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from serve.streams.incoming import LAST_PARTS_S, IncomingStream
from serve.streams.wire import ADMITTED, CONNECT_S, KEY_BYTES, Destination, notice_silence, read_frame

BUFFER_BYTES = 2**20

log = logging.getLogger("attune.streams")


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

"""A connection to a listener: what its streams have new in one turn of the loop is one write."""

import asyncio

from serve.model import Parts
from serve.streams.wire import (
    ADMITTED,
    MAX_ENTRY_BYTES,
    Destination,
    PartsLost,
    Unreachable,
    entry_of,
    frame_of,
    notice_silence,
)


class Connection:
    """A connection that the listener has admitted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._entries: list[bytes] = []  # of this turn of the loop
        self._entry_bytes = 0
        self.lost = asyncio.ensure_future(self._until_lost(reader))

    def close(self) -> None:
        self._writer.close()

    async def send(self, stream: int, parts: Parts) -> None:
        """Waits while the listener does not keep up. Raises `PartsLost`; `AttuneError` for parts that fit no frame."""
        entry = entry_of(stream, parts)  # here, where what cannot be encoded fails for its own stream alone
        try:
            await self._writer.drain()
        except OSError as error:
            raise PartsLost("the connection for parts of streams is lost") from error
        if self._writer.is_closing():
            raise PartsLost("the connection for parts of streams is closed")
        if self._entry_bytes + len(entry) > MAX_ENTRY_BYTES:
            self._flush()
        if not self._entries:
            asyncio.get_running_loop().call_soon(self._flush)
        self._entries.append(entry)
        self._entry_bytes += len(entry)

    def _flush(self) -> None:
        entries, self._entries, self._entry_bytes = self._entries, [], 0
        if entries and not self._writer.is_closing():
            self._writer.write(frame_of(entries))

    async def _until_lost(self, reader: asyncio.StreamReader) -> None:
        try:
            await reader.read()  # a listener says no more: this ends with the connection
        except OSError:
            pass  # who sends hears it from the writer
        finally:
            self._writer.close()


async def connect(to: Destination, connect_s: float) -> Connection:
    try:
        async with asyncio.timeout(connect_s):
            reader, writer = await asyncio.open_connection(to.host, to.port)
            try:
                notice_silence(writer)
                writer.write(to.key)
                if await reader.readexactly(len(ADMITTED)) != ADMITTED:
                    raise ConnectionError("what listens there is no listener of streams")
            except BaseException:
                writer.transport.abort()
                raise
    except (OSError, EOFError) as error:  # a TimeoutError is the first
        raise Unreachable(f"{to.host}:{to.port}: {type(error).__name__}") from error
    return Connection(reader, writer)

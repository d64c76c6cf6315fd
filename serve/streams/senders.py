"""The end that sends: the connections of one replica, one to each listener."""

import asyncio
from collections.abc import AsyncGenerator

from interest.errors import AttuneError
from serve.model import Parts
from serve.streams.wire import (
    ADMITTED,
    CONNECT_S,
    MAX_ENTRY_BYTES,
    Destination,
    PartsLost,
    Sent,
    Unreachable,
    entry_of,
    frame_of,
    notice_silence,
)

_Place = tuple[str, int, bytes]


class Senders:
    """The connections of one replica to the listeners that it has sent to."""

    def __init__(self, connect_s: float = CONNECT_S) -> None:
        self._connect_s = connect_s
        self._connecting: dict[_Place, asyncio.Future[_Connection]] = {}

    async def send(self, answer: AsyncGenerator[Parts, None], destination: Destination) -> Sent:
        """Send all of the answer; when cancelled, close it.

        Raises `Unreachable` before it asks for the first part; `PartsLost` when the connection is lost after that.
        """
        connection, parts_sent = await self._connected(destination), 0
        try:
            async for parts in answer:
                await connection.send(destination.stream, parts)
                parts_sent += 1
        except PartsLost:
            raise
        except AttuneError as error:
            return Sent(parts_sent, error)
        finally:
            await answer.aclose()
        return Sent(parts_sent)

    def close(self) -> None:
        """End every connection; calling it twice is harmless."""
        for connecting in list(self._connecting.values()):
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().close()
            connecting.cancel()

    async def _connected(self, to: Destination) -> "_Connection":
        place = (to.host, to.port, to.key)
        connecting = self._connecting.get(place)
        if connecting is None:
            connecting = self._connecting[place] = asyncio.ensure_future(_connect(to, self._connect_s))
            connecting.add_done_callback(lambda made: self._forget_when_lost(place, made))
        return await asyncio.shield(connecting)  # the others who wait may want it still

    def _forget_when_lost(self, place: _Place, made: "asyncio.Future[_Connection]") -> None:
        def forget(_: object) -> None:
            if self._connecting.get(place) is made:
                del self._connecting[place]

        if made.cancelled() or made.exception() is not None:
            forget(made)
        else:
            made.result().lost.add_done_callback(forget)


class _Connection:
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


async def _connect(to: Destination, connect_s: float) -> _Connection:
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
    return _Connection(reader, writer)

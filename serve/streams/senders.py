"""The end that sends: the connections of one replica, one to each listener."""

import asyncio
from collections.abc import AsyncGenerator

from interest.errors import AttuneError
from serve.model import Parts
from serve.streams.connection import Connection, connect
from serve.streams.wire import CONNECT_S, Destination, PartsLost, Sent

_Place = tuple[str, int, bytes]


class Senders:
    """The connections of one replica to the listeners that it has sent to."""

    def __init__(self, connect_s: float = CONNECT_S) -> None:
        self._connect_s = connect_s
        self._connecting: dict[_Place, asyncio.Future[Connection]] = {}

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

    async def _connected(self, to: Destination) -> Connection:
        place = (to.host, to.port, to.key)
        connecting = self._connecting.get(place)
        if connecting is None:
            connecting = self._connecting[place] = asyncio.ensure_future(connect(to, self._connect_s))
            connecting.add_done_callback(lambda made: self._forget_when_lost(place, made))
        return await asyncio.shield(connecting)  # the others who wait may want it still

    def _forget_when_lost(self, place: _Place, made: asyncio.Future[Connection]) -> None:
        def forget(_: object) -> None:
            if self._connecting.get(place) is made:
                del self._connecting[place]

        if made.cancelled() or made.exception() is not None:
            forget(made)
        else:
            made.result().lost.add_done_callback(forget)

"""The replicas of one stage as whoever calls it sees them: connected to, chosen, waited for."""

import asyncio
import logging
from collections.abc import Collection

from interest.batch import Tensors
from interest.errors import Overloaded
from serve.calls.connection import Connection, connect
from serve.calls.wire import Place
from serve.streams.wire import CONNECT_S, Unreachable

log = logging.getLogger("attune.calls")


class NoReplica(Exception):
    """No replica is connected."""


class Replicas:
    """Connections to the replicas of one stage. A call goes to the one with the fewest of ours under way."""

    def __init__(self, name: str, most_each: int, most_waiting: int, connect_s: float = CONNECT_S) -> None:
        """`most_each`: calls under way at a replica; `most_waiting`: calls that wait beside them, -1: any number."""
        self.changed = asyncio.Event()  # a connection was lost or is about to be: somebody should look again
        self._name = name
        self._most_each = most_each
        self._most_waiting = most_waiting
        self._connect_s = connect_s
        self._connections: dict[Place, Connection] = {}  # those that calls may go to
        self._leaving: dict[Place, Connection] = {}  # those that only end what is under way
        self._unreachable: set[Place] = set()  # it was said in the log
        self._waiting: dict[asyncio.Future[Connection], None] = {}  # in order

    def __len__(self) -> int:
        """How many may be called."""
        return len(self._connections)

    @property
    def places(self) -> set[Place]:
        """Of those that may be called."""
        return set(self._connections)

    async def follow(self, places: Collection[Place]) -> None:
        """These are the replicas now: connect to the new ones, leave the others when they have answered."""
        for place, connection in list(self._connections.items()):
            if place not in places:
                self._leave(connection)
        self._unreachable &= set(places)
        new = [place for place in places if place not in self._connections and place not in self._leaving]
        await asyncio.gather(*map(self._connect, new))

    async def call(self, tensors: Tensors) -> Tensors:
        """One call of one replica.

        Raises `NoReplica` before anything is done, `ReplicaLost`, `Overloaded`, and what the stage raises.
        """
        connection = self._chosen() or await self._turn()
        try:
            return await connection.call(tensors)
        finally:
            self._release(connection)

    def close(self) -> None:
        """End every connection; calling it twice is harmless."""
        for connection in [*self._connections.values(), *self._leaving.values()]:
            connection.close()

    def _chosen(self) -> Connection | None:
        """One with room for a call, which it is reserved for. None: all are busy, or others wait."""
        open_ones = self._open()
        if not open_ones:
            raise NoReplica(self._name)
        return None if self._number_waiting() else self._reserved(open_ones)

    def _open(self) -> list[Connection]:
        """A connection that ends is among ours for another turn of the loop: nothing can be said on it any more."""
        return [connection for connection in self._connections.values() if not connection.closed]

    def _number_waiting(self) -> int:
        """Whoever has left is among them until its own turn of the loop."""
        return sum(not turn.done() for turn in self._waiting)

    def _reserved(self, open_ones: list[Connection]) -> Connection | None:
        found = min(open_ones, key=lambda one: one.reserved)
        if found.reserved >= self._most_each:
            return None
        found.reserved += 1
        return found

    async def _turn(self) -> Connection:
        if 0 <= self._most_waiting <= self._number_waiting():
            raise Overloaded(f"{self._name}: its queue is full")
        turn: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release(turn.result())
            raise
        finally:
            self._waiting.pop(turn, None)

    def _release(self, connection: Connection) -> None:
        connection.reserved -= 1
        if connection.leaving and not connection.reserved:
            connection.close()
        self._hand_on()

    def _hand_on(self) -> None:
        """Room for those who wait, or the news that nobody will have any."""
        for turn in list(self._waiting):
            if turn.done():  # who waited has left
                continue
            open_ones = self._open()
            if not open_ones:
                turn.set_exception(NoReplica(self._name))
            elif (connection := self._reserved(open_ones)) is not None:
                turn.set_result(connection)
            else:
                return

    async def _connect(self, place: Place) -> None:
        try:
            connection = await connect(place, self._connect_s, self._has_changed)
        except Unreachable as error:
            if place not in self._unreachable:
                self._unreachable.add(place)
                log.warning("a %s replica is not called directly: %s", self._name, error)
            return
        if connection.closed or connection.leaving:
            connection.close()
            return
        self._unreachable.discard(place)
        self._connections[place] = connection
        self._hand_on()

    def _has_changed(self, connection: Connection) -> None:
        if connection.closed and self._leaving.get(connection.place) is connection:
            del self._leaving[connection.place]
        if self._connections.get(connection.place) is not connection:
            return
        self._leave(connection)
        self.changed.set()

    def _leave(self, connection: Connection) -> None:
        connection.leaving = True
        del self._connections[connection.place]
        if connection.closed:
            pass
        elif connection.reserved:
            self._leaving[connection.place] = connection
        else:
            connection.close()
        self._hand_on()

"""The end that calls: a connection to one replica, and the calls under way there."""

import asyncio
import itertools
from collections.abc import Callable

from interest.batch import Tensors
from serve.calls.channel import Channel
from serve.calls.failures import error_of
from serve.calls.tensors import body_of, tensors_of
from serve.calls.wire import Kind, Place, ReplicaLost
from serve.streams.wire import ADMITTED, Unreachable


class Connection(Channel):
    """A connection that the listener has admitted."""

    def __init__(self, place: Place, changed: Callable[["Connection"], None]) -> None:
        """`changed` is told when the replica is about to stop, and when the connection is lost."""
        super().__init__(len(ADMITTED))
        self.place = place
        self.leaving = False  # the replica is about to stop, or is none any more
        self.reserved = 0  # callers who have chosen it and have not ended
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed = changed
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Tensors]] = {}

    async def call(self, tensors: Tensors) -> Tensors:
        """The answer. Raises what the stage raises, `ReplicaLost`, and `AttuneError` for what cannot be sent.

        Cancelling it cancels the work of the replica.
        """
        body = body_of(tensors)
        if self.closed:
            raise ReplicaLost(f"{self.place}: the connection is closed")
        number = next(self._numbers)
        self._say(Kind.CALL, number, body)
        answer: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        try:
            return await answer
        finally:
            if self._calls.pop(number, None) is not None and not self.closed:
                self._say(Kind.CANCEL, number)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport.write(self.place.key)

    def connection_lost(self, exc: Exception | None) -> None:
        calls, self._calls = self._calls, {}
        for answer in calls.values():
            if not answer.done():
                answer.set_exception(ReplicaLost(f"{self.place}: the connection was lost"))
        if not self.admitted.done():
            self.admitted.set_exception(ReplicaLost(f"{self.place}: not admitted"))
            self.admitted.exception()  # whoever waited may have left
        self._changed(self)

    def _greeted(self, greeting: bytes) -> None:
        if greeting != ADMITTED:
            raise ValueError("what listens there answers no calls")
        if not self.admitted.done():
            self.admitted.set_result(None)

    def _taken(self, kind: Kind, number: int, body: memoryview) -> None:
        if kind is Kind.GOODBYE:
            self.leaving = True
            self._changed(self)
        elif kind is Kind.ANSWER:
            tensors = tensors_of(body)
            if (answer := self._asked(number)) is not None:
                answer.set_result(tensors)
        elif kind is Kind.ERROR:
            error = error_of(body)
            if (answer := self._asked(number)) is not None:
                answer.set_exception(error)
        else:
            raise ValueError(f"a frame of kind {kind.name} from who answers")

    def _asked(self, number: int) -> asyncio.Future[Tensors] | None:
        """None: whoever asked has left."""
        answer = self._calls.pop(number, None)
        return None if answer is None or answer.done() else answer


async def connect(to: Place, connect_s: float, changed: Callable[[Connection], None]) -> Connection:
    """Raises `Unreachable`."""
    connection = Connection(to, changed)
    try:
        async with asyncio.timeout(connect_s):
            await asyncio.get_running_loop().create_connection(lambda: connection, to.host, to.port)
            try:
                await connection.admitted
            except BaseException:
                connection.abort()
                raise
    except (OSError, ReplicaLost) as error:  # a TimeoutError is the first
        raise Unreachable(f"{to}: {type(error).__name__}") from error
    return connection

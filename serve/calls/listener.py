"""The end that answers: one port of a stage's replica, and the calls under way there."""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable

from interest.batch import Tensors
from interest.errors import AttuneError
from serve.calls.channel import Channel
from serve.calls.failures import body_of_error
from serve.calls.tensors import body_of, tensors_of
from serve.calls.wire import Kind, Place
from serve.streams.wire import ADMITTED, CONNECT_S, KEY_BYTES

log = logging.getLogger("attune.calls")

Infer = Callable[[Tensors], Awaitable[Tensors]]


class CallListener:
    """Answers calls of one stage by `infer`, from whoever knows its key."""

    def __init__(self, name: str, infer: Infer, admit_s: float = CONNECT_S) -> None:
        self.name = name
        self.infer = infer
        self.admit_s = admit_s
        self.key = secrets.token_bytes(KEY_BYTES)
        self.place: Place | None = None  # None: it was not started, or stops
        self.callers: set[_Caller] = set()
        self._server: asyncio.Server | None = None
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    async def start(self, host: str) -> None:
        """Listen on a free port of this address. Raises `OSError`."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Caller(self), host, 0)
        self.place = Place(host, self._server.sockets[0].getsockname()[1], self.key)

    async def stop(self, within_s: float) -> None:
        """Say goodbye, answer what is under way, and end every connection then; at the latest after so long.

        Calling it twice is harmless.
        """
        if self._server is not None:
            self._server.close()
        self.place = None
        for caller in list(self.callers):
            caller.say_goodbye()
        try:
            async with asyncio.timeout(within_s):
                await self._all_gone.wait()
        except TimeoutError:
            log.warning("%s: %d callers stay until the end", self.name, len(self.callers))
            for caller in list(self.callers):
                caller.abort()
            await self._all_gone.wait()  # what they asked is cancelled then

    def came(self, caller: "_Caller") -> None:
        self.callers.add(caller)
        self._all_gone.clear()
        if self.place is None:  # it came in the last moment
            caller.abort()

    def went(self, caller: "_Caller") -> None:
        self.callers.discard(caller)
        if not self.callers:
            self._all_gone.set()


class _Caller(Channel):
    """A connection to the listener, and what it has asked."""

    def __init__(self, listener: CallListener) -> None:
        super().__init__(KEY_BYTES)
        self._listener = listener
        self._tasks: dict[int, asyncio.Task[Tensors]] = {}
        self._patience: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._patience = asyncio.get_running_loop().call_later(self._listener.admit_s, self._too_late)
        self._listener.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        self._listener.went(self)
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def say_goodbye(self) -> None:
        if self._greeting is None:
            self._say(Kind.GOODBYE, 0)
        else:
            self.abort()  # it has asked nothing yet

    def _too_late(self) -> None:
        log.error("a caller of %s is refused: no key within %s s", self._listener.name, self._listener.admit_s)
        self.abort()

    def _greeted(self, greeting: bytes) -> None:
        if not hmac.compare_digest(greeting, self._listener.key):
            raise ValueError("it does not know the key")
        self._patience.cancel()
        self._transport.write(ADMITTED)

    def _taken(self, kind: Kind, number: int, body: memoryview) -> None:
        if kind is Kind.CANCEL:
            if (task := self._tasks.pop(number, None)) is not None:
                task.cancel()
            return
        if kind is not Kind.CALL or number in self._tasks:
            raise ValueError(f"a frame of kind {kind.name} and number {number} from a caller")
        task = asyncio.ensure_future(self._listener.infer(tensors_of(body)))
        self._tasks[number] = task
        task.add_done_callback(lambda ended: self._ended(number, ended))

    def _ended(self, number: int, task: asyncio.Task[Tensors]) -> None:
        if self._tasks.get(number) is not task:
            if not task.cancelled():
                task.exception()  # nobody waits for it; asyncio need not complain
            return
        del self._tasks[number]
        try:
            self._say(Kind.ANSWER, number, body_of(task.result()))
        except AttuneError as error:
            self._say(Kind.ERROR, number, body_of_error(error))
        except (Exception, asyncio.CancelledError) as error:  # whatever it is, the caller must hear of it
            log.exception("%s failed", self._listener.name)
            told = AttuneError(f"{self._listener.name}: {type(error).__name__}")
            self._say(Kind.ERROR, number, body_of_error(told))

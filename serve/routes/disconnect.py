"""A caller who leaves stops the work done for them: their request's task is cancelled, whatever it is awaiting."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

AFTER_S = 0.1  # a request that is answered by then is not watched: watching costs a task; the others are by twice of it


class CancelOnDisconnect:
    """ASGI middleware: once the body is read, watches the connection beside the application.

    One timer serves all requests: most are answered before they are watched, and a timer of their own costs more.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._young: deque[tuple[float, _Connection]] = deque()  # by when they are to be watched, in that order
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        work = asyncio.current_task()
        assert work is not None
        connection = _Connection(receive, work)
        self._watch_later(connection)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                connection.unwatch()  # a reply that is whole is not cut short by a caller who leaves with it
            await send(message)

        try:
            await self._app(scope, connection.receive, sending)
        except asyncio.CancelledError:
            if not connection.is_lost:
                raise
            work.uncancel()
        finally:
            connection.unwatch()

    def _watch_later(self, connection: "_Connection") -> None:
        loop = asyncio.get_running_loop()
        self._young.append((loop.time() + AFTER_S, connection))
        if self._timer is None:
            self._timer = loop.call_later(AFTER_S, self._watch_due, context=contextvars.Context())

    def _watch_due(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._young and self._young[0][0] <= now:
            self._young.popleft()[1].watch()
        self._timer = None
        if self._young:
            self._timer = loop.call_later(AFTER_S, self._watch_due, context=contextvars.Context())


class _Connection:
    """Hands the body to the application; after it, whoever asks waits for the disconnect."""

    __slots__ = ("_body_read", "_ended", "_receive", "_waiting", "_watch", "_work", "is_lost")

    def __init__(self, receive: Receive, work: asyncio.Task[None]) -> None:
        """Leaving cancels `work`."""
        self.is_lost = False
        self._receive = receive
        self._work = work
        self._body_read = False
        self._ended = False  # leaving cancels nothing any more
        self._waiting: asyncio.Event | None = None  # for the body to be read, or the caller to leave
        self._watch: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        if self._body_read:
            await self._until(lambda: self.is_lost)
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_read = True
        if message["type"] == "http.disconnect":
            self.is_lost = True
        self._tell()
        return message

    def watch(self) -> None:
        """From now on leaving cancels the work; nothing for a request that has ended."""
        if not self._ended:
            self._watch = asyncio.ensure_future(self._until_lost())

    def unwatch(self) -> None:
        """Leaving cancels nothing any more."""
        self._ended = True
        if self._watch is not None:
            self._watch.cancel()

    async def _until_lost(self) -> None:
        await self._until(lambda: self._body_read)
        while not self.is_lost:
            if (await self._receive())["type"] == "http.disconnect":
                self.is_lost = True
                self._tell()
        self._work.cancel()

    async def _until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            if self._waiting is None:
                self._waiting = asyncio.Event()
            self._waiting.clear()
            await self._waiting.wait()

    def _tell(self) -> None:
        if self._waiting is not None:
            self._waiting.set()

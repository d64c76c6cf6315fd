"""A caller who leaves stops the work done for them: their request's task is cancelled, whatever it is awaiting."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

AFTER_S = 0.1  # a request that is answered by then was never watched: watching costs a task


class CancelOnDisconnect:
    """ASGI middleware: once the body is read, watches the connection beside the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        work = asyncio.current_task()
        assert work is not None
        connection = _Connection(receive, work)

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


class _Connection:
    """Hands the body to the application; after it, whoever asks waits for the disconnect."""

    def __init__(self, receive: Receive, work: asyncio.Task[None]) -> None:
        """Leaving cancels `work`."""
        self._receive = receive
        self._work = work
        self._body_read = asyncio.Event()
        self._lost = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._soon = asyncio.get_running_loop().call_later(AFTER_S, self._start)

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    async def receive(self) -> Message:
        if self._body_read.is_set():
            await self._lost.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._body_read.set()
        if message["type"] == "http.disconnect":
            self._lost.set()
        return message

    def unwatch(self) -> None:
        """Leaving cancels nothing any more."""
        self._soon.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _start(self) -> None:
        self._watch = asyncio.ensure_future(self._until_lost())

    async def _until_lost(self) -> None:
        await self._body_read.wait()
        while not self._lost.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._lost.set()
        self._work.cancel()

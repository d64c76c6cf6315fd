"""A caller who leaves stops the work done for them: their request's task is cancelled, whatever it is awaiting."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
        connection = _Connection(receive)
        watch = asyncio.ensure_future(connection.watch(work))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                watch.cancel()  # a reply that is whole is not cut short by a caller who leaves with it
            await send(message)

        try:
            await self._app(scope, connection.receive, sending)
        except asyncio.CancelledError:
            if not connection.is_lost:
                raise
            work.uncancel()
        finally:
            watch.cancel()


class _Connection:
    """Hands the body to the application; after it, whoever asks waits for the disconnect."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body_read = asyncio.Event()
        self._lost = asyncio.Event()

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

    async def watch(self, work: asyncio.Task[None]) -> None:
        """Cancel the work when the caller leaves."""
        await self._body_read.wait()
        while not self._lost.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._lost.set()
        work.cancel()

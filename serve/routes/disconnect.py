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
        connection = _Connection(receive)
        work = asyncio.ensure_future(self._app(scope, connection.receive, send))
        watch = asyncio.ensure_future(connection.lost())
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            if not work.done():
                work.cancel()
        await asyncio.wait((work,))
        if not work.cancelled():
            work.result()  # raises what the application raised


class _Connection:
    """Hands the body to the application; after it, whoever asks waits for the disconnect."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body_read = asyncio.Event()
        self._lost = asyncio.Event()

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

    async def lost(self) -> None:
        await self._body_read.wait()
        while not self._lost.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._lost.set()

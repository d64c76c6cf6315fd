"""HTTP requests past Ray Serve's own handling of each, which costs a small one about a seventh of the ingress's time.

Ray lets middlewares run in front of what it does (`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`). This one answers in
Ray's place, in the process of an ingress replica that has said so, but for the paths that Ray's health checks ask.
Request ids, deadlines, admission, metrics and callers who left are the application's own; when a replica stops, Uvicorn
waits for what is under way. What only Ray does is lost with it: its counts of ongoing requests, which its autoscaler
needs, its access log and its own timeout. An ingress with one of the first two is served by Ray; for the timeout the
variable has to be unset, as `serve.ray_cluster` does for a server of its own.
"""

import asyncio
from dataclasses import dataclass

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.config import DeploymentConfig

CALLBACK = "serve.routes.front:middlewares"
OF_RAY = "/-/"


@dataclass(frozen=True, slots=True)
class _Front:
    app: ASGIApp
    loop: asyncio.AbstractEventLoop


_fronts: list[_Front] = []  # of this process: one, or none


def serve_directly(app: ASGIApp, ingress: DeploymentConfig) -> None:
    """Let `app` answer in this process, on the running loop, unless Ray must see the requests of the ingress."""
    if not ingress.seen_by_ray:
        _fronts[:] = [_Front(app, asyncio.get_running_loop())]


def middlewares() -> list[Middleware]:
    """What Ray asks for in every process that has an HTTP server."""
    return [Middleware(Shortcut)]


class Shortcut:
    """ASGI middleware: hands a request to the application of this process, or to Ray where there is none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answering(scope)(scope, receive, send)

    def _answering(self, scope: Scope) -> ASGIApp:
        if not _fronts or scope["type"] != "http" or scope["path"].startswith(OF_RAY):
            return self._app
        # Ray may run an application in a thread of its own, whose loop is another one than the server's.
        (front,) = _fronts
        return front.app if front.loop is asyncio.get_running_loop() else self._app

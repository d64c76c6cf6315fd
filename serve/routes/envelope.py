"""Around every request: its id in and out, the time it took, the bounds of its body."""

import re
import time
import uuid

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interest.errors import AttuneError, TooLarge, UnsupportedMedia
from serve.metrics import request_counters
from serve.routes.errors import reply_to, route_template
from serve.tenant import TENANT, tenant_of

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,200}")
BODY_METHODS = ("POST", "PUT", "PATCH")


class RequestEnvelope:
    """ASGI middleware: `X-Request-ID` in = out, `Server-Timing`, 413 beyond the limit, 415 for other than JSON."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, request_id_header: bool) -> None:
        self._app = app
        self._request_id_header = request_id_header
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        exchange = _Exchange(scope, send, _request_id(headers) if self._request_id_header else None)
        body = _BoundedBody(receive, self._max_body_bytes)
        TENANT.set(tenant_of(headers))  # of this request's own context
        try:
            refusal = self._refusal(scope["method"], headers, scope["path"].startswith("/v2/models/"))
            if refusal is None:
                await self._app(scope, body.receive, exchange.send)
            else:
                await reply_to(scope["path"], refusal)(scope, receive, exchange.send)
        finally:
            exchange.count()

    def _refusal(self, method: str, headers: dict[bytes, bytes], binary: bool) -> AttuneError | None:
        """`binary`: a path whose bodies are more than JSON."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return TooLarge(f"body: {int(length)} bytes, at most {self._max_body_bytes}")
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if method in BODY_METHODS and not binary and media not in (b"", b"application/json"):
            return UnsupportedMedia(f"Content-Type {media.decode('latin-1')!r}: application/json is expected")
        return None


def _request_id(headers: dict[bytes, bytes]) -> bytes:
    """The caller's own when it is printable, otherwise a new one."""
    given = headers.get(b"x-request-id", b"")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex.encode()


class _BoundedBody:
    """Counts a body that came without a length."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = self._left = limit

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            # FastAPI lets an HTTPException pass while it reads a body, and makes a 400 of everything else.
            raise HTTPException(TooLarge.status, f"body: more than {self._limit} bytes")
        return message


class _Exchange:
    """Adds the headers to the reply and counts it once."""

    def __init__(self, scope: Scope, send: Send, request_id: bytes | None) -> None:
        self._scope = scope
        self._send = send
        self._added = [] if request_id is None else [(b"x-request-id", request_id)]
        self._start = time.perf_counter()
        self._status = 499  # the client left before there was a reply

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            taken_ms = 1000 * (time.perf_counter() - self._start)
            added = [*self._added, (b"server-timing", f"total;dur={taken_ms:.2f}".encode())]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await self._send(message)

    def count(self) -> None:
        requests, seconds = request_counters(route_template(self._scope), self._status)
        requests.inc()
        seconds.observe(time.perf_counter() - self._start)

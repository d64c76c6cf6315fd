"""Inference by the Open Inference Protocol, on a way past the framework's router: most requests are of this kind.

The framework asks sixty routes whether they match and resolves dependencies that this one does not have, which cost
more than reading the request, batching it and writing the answer.
"""

import logging
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from interest.errors import AttuneError, MalformedRequest, TooLarge
from serve.oip.errors import InvalidInput
from serve.oip.json_codec import HEADER_LENGTH, read_request, write_response
from serve.routes.api import Api
from serve.routes.errors import INTERNAL, refusal

OCTETS = "application/octet-stream"
PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
Infer = Callable[[Request, str, str], Awaitable[Response]]

log = logging.getLogger("attune.http")


@dataclass(frozen=True, slots=True)
class Route:
    """What counters and logs call a request."""

    path: str


NEWEST = Route("/v2/models/{model}/infer")
VERSIONED = Route("/v2/models/{model}/versions/{version}/infer")


def infer_handler(api: Api) -> Infer:
    """From a request to its answer. Raises our own errors."""

    async def infer(request: Request, model: str, version: str = "") -> Response:
        body = _decompressed(await request.body(), request.headers, api.limits.max_body_bytes)
        asked = read_request(model, version, body, _header_length(request.headers))
        with api.permits.hold():
            answer = await api.inference.infer(asked)
        content, json_length = write_response(answer, asked)
        if json_length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={HEADER_LENGTH: str(json_length)}, media_type=OCTETS)

    return infer


class InferShortcut:
    """ASGI middleware: answers inferences itself and hands everything else on."""

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._infer = infer_handler(api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] == "POST"
        found = PATH.fullmatch(scope["path"]) if asks else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = VERSIONED if found[2] else NEWEST
        response = await self._answer(Request(scope, receive), found[1], found[2] or "")
        await response(scope, receive, send)

    async def _answer(self, request: Request, model: str, version: str) -> Response:
        try:
            return await self._infer(request, model, version)
        except AttuneError as error:
            return refusal(error)
        except HTTPException as error:  # of a body beyond its bound
            return refusal(TooLarge(str(error.detail)))
        except ClientDisconnect:
            return refusal(MalformedRequest("the caller left before the body was whole"))
        except Exception:  # whatever it is: the caller hears no more than that
            log.exception("%s %s failed", request.method, request.scope["route"].path)
            return refusal(AttuneError(INTERNAL))


def _header_length(headers: Mapping[str, str]) -> int | None:
    value = headers.get(HEADER_LENGTH)
    if value is not None and not value.isdecimal():
        raise InvalidInput(f"{HEADER_LENGTH}: {value!r} is no length")
    return None if value is None else int(value)


def _decompressed(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """A body in gzip or deflate, as Triton's clients may send it; bounded as plain ones are."""
    coding = headers.get("content-encoding", "identity")
    if coding == "identity":
        return body
    if coding not in ("gzip", "deflate"):
        raise InvalidInput(f"Content-Encoding {coding!r}: gzip or deflate is expected")
    unpacker = zlib.decompressobj(47 if coding == "gzip" else 15)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"the body is not {coding}: {error}") from error
    if len(plain) > limit:
        raise TooLarge(f"body: more than {limit} bytes")
    if not unpacker.eof:
        raise InvalidInput(f"the body is not {coding}: it ends too early")
    return plain

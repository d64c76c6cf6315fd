"""Completions on a way past the framework's router, as inferences have one: it is half of what a small one costs."""

import json
import logging
from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interest.errors import AttuneError, MalformedRequest, TooLarge
from serve.routes.api import Api
from serve.routes.errors import INTERNAL, envelope
from serve.routes.infer import Route
from serve.routes.openai import CHAT, TEXT, completed
from serve.routes.openai_replies import Kind
from serve.routes.openai_schema import ChatBody, CompletionBody

TIMEOUT_HEADER = b"x-request-timeout-ms"
_ASKED: dict[str, tuple[Kind, type[CompletionBody] | type[ChatBody]]] = {
    TEXT: ("text", CompletionBody),
    CHAT: ("chat", ChatBody),
}

log = logging.getLogger("attune.http")


class CompletionsShortcut:
    """ASGI middleware: answers completions itself and hands everything else on.

    The framework also gets what is refused for its body, which it words, and what comes with a header to be read.
    """

    def __init__(self, app: ASGIApp, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_plain(scope):
            await self._app(scope, receive, send)
            return
        scope["route"] = Route(scope["path"])
        request = Request(scope, receive)
        try:
            raw = await request.body()
        except HTTPException as error:  # of a body beyond its bound
            await envelope(TooLarge(str(error.detail)))(scope, receive, send)
            return
        except ClientDisconnect:
            await envelope(MalformedRequest("the caller left before the body was whole"))(scope, receive, send)
            return
        kind, body_type = _ASKED[scope["path"]]
        try:
            body = body_type.model_validate(json.loads(raw))
        except (ValueError, RecursionError):  # pydantic's is the first too
            await self._app(scope, _again(raw, receive), send)
            return
        response = await self._answer(request, body, kind)
        await response(scope, receive, send)

    async def _answer(self, request: Request, body: CompletionBody | ChatBody, kind: Kind) -> Response:
        try:
            return await completed(self._api, body, kind, None)
        except AttuneError as error:
            return envelope(error)
        except Exception:  # whatever it is: the caller hears no more than that
            log.exception("%s %s failed", request.method, request.scope["path"])
            return envelope(AttuneError(INTERNAL))


def _is_plain(scope: Scope) -> bool:
    """Whether it asks for a completion, and all that it says is in its JSON."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in _ASKED:
        return False
    headers = dict(scope["headers"])
    return bool(headers.get(b"content-type")) and TIMEOUT_HEADER not in headers


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that has been read, and then whatever comes after it."""
    unread: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await receive()

    return receive_again

"""Every error as one envelope: `{"error": {"message", "type", "param", "code"}}`, never a traceback.

Below /v2 as Triton has it, `{"error": "text"}`, with Triton's statuses.
"""

import logging
import math
from collections.abc import Mapping

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from interest.errors import AttuneError, InvalidRequest, MalformedRequest, NotFound, Overloaded, TooLarge
from serve.metrics import SHED

INTERNAL = "internal error; the log holds it under this request id"
OIP, RERANK = "/v2", "/v2/rerank"  # the Open Inference Protocol; a route of another protocol below it
TRITON_STATUS = {422: 400, 429: 503, 408: 503}  # ours that Triton does not give
NOT_FIELDS = ("body", "many", "one")  # FastAPI's own words and the tags of a union

log = logging.getLogger("attune.http")


class MethodNotAllowed(AttuneError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class UnknownModel(NotFound):
    code = "model_not_found"


def reply_to(path: str, error: AttuneError, headers: Mapping[str, str] | None = None) -> Response:
    """The reply for an error of a request for this path."""
    if (path == OIP or path.startswith(f"{OIP}/")) and path != RERANK:
        return refusal(error, headers)
    return envelope(error, headers)


def refusal(error: AttuneError, headers: Mapping[str, str] | None = None) -> Response:
    """Triton's error shape; an overload says when to come back."""
    extra = {**(headers or {}), **(retry_headers(error) if isinstance(error, Overloaded) else {})}
    body, status = orjson.dumps({"error": error.message}), TRITON_STATUS.get(error.status, error.status)
    return Response(body, status, extra, media_type="application/json")


def envelope(error: AttuneError, headers: Mapping[str, str] | None = None) -> Response:
    """The reply for an error: its class gives status, type and code, its instance the message."""
    extra = dict(headers or {})
    if isinstance(error, Overloaded):
        extra |= retry_headers(error)
    body = orjson.dumps(error_body(error))
    return Response(body, status_code=error.status, headers=extra, media_type="application/json")


def retry_headers(error: Overloaded) -> dict[str, str]:
    """When to come back; counts the refusal."""
    SHED.inc()
    return {
        "Retry-After": str(math.ceil(error.retry_after_s)),
        "retry-after-ms": str(math.ceil(1000 * error.retry_after_s)),
        "x-should-retry": "true",
    }


def error_body(error: AttuneError) -> dict[str, dict[str, str | None]]:
    """The envelope itself."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def route_template(scope: Scope) -> str:
    """`/v1/users/{user_id}`, never the path itself: few values, and no ids of people in logs and labels."""
    return getattr(scope.get("route"), "path", "other")


def install_error_handlers(app: FastAPI) -> None:
    """Our errors, FastAPI's validation errors and everything unforeseen, each as the envelope."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AttuneError)
        return reply_to(request.url.path, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return reply_to(request.url.path, _first_problem(error))

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        if error.status_code == 405:
            refused = MethodNotAllowed(f"{request.method} {route_template(request.scope)}: not a method of this path")
            return reply_to(path, refused, error.headers)
        if error.status_code == 404:
            return reply_to(path, NotFound("no such path"))
        if error.status_code == 413:
            return reply_to(path, TooLarge(str(error.detail)))
        return reply_to(path, MalformedRequest(str(error.detail)))

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, route_template(request.scope), exc_info=error)
        return reply_to(request.url.path, AttuneError(INTERNAL))

    app.add_exception_handler(AttuneError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(Exception, unforeseen)


def _first_problem(error: RequestValidationError) -> AttuneError:
    problems = error.errors()
    first = problems[0]
    if first["type"] == "json_invalid":
        return MalformedRequest(f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    field = ".".join(str(part) for part in first["loc"] if part not in NOT_FIELDS) or "body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidRequest(f"{field}: {first['msg']}{more}", field)

"""The Open Inference Protocol over HTTP: thin adapters onto `InferenceServer`, with Triton's error shape."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.responses import StreamingResponse

from interest.errors import AttuneError
from serve.oip.errors import InvalidInput, unknown_is_invalid
from serve.oip.server import generated_json, whole
from serve.routes.api import Api
from serve.routes.errors import refusal
from serve.routes.infer import infer_handler


class _OipRoute(APIRoute):
    """Errors leave as `{"error": "text"}`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except AttuneError as error:
                return refusal(error)

        return answer


def oip_router(api: Api) -> APIRouter:
    """/v2 and everything below it."""
    router = APIRouter(prefix="/v2", route_class=_OipRoute, tags=["Open Inference Protocol"])
    server = api.inference

    @router.get("")
    async def server_metadata() -> Response:
        return _json(server.server_metadata())

    @router.get("/health/live")
    async def live() -> Response:
        return _json({"live": True})

    @router.get("/health/ready")
    async def ready() -> Response:
        return _json({"ready": api.readiness.ready}, 200 if api.readiness.ready else 400)

    @router.get("/models/stats")
    async def all_statistics() -> Response:
        return _json(await server.statistics())

    def versioned(path: str) -> tuple[str, str]:
        return f"/models/{{model}}{path}", f"/models/{{model}}/versions/{{version}}{path}"

    def get(path: str, answer: Callable[[str, str], Awaitable[Response]]) -> None:
        for template in versioned(path):

            async def route(model: str, version: str = "") -> Response:
                return await answer(model, version)

            router.add_api_route(template, route, methods=["GET"])

    async def metadata(model: str, version: str) -> Response:
        return _json(await server.model_metadata(model, version))

    async def config(model: str, version: str) -> Response:
        return _json((await server.require(model, version)).to_json())

    async def statistics(model: str, version: str) -> Response:
        with unknown_is_invalid():
            return _json(await server.statistics(model, version))

    async def model_ready(model: str, version: str) -> Response:
        with unknown_is_invalid():
            return Response(status_code=200 if await server.is_ready(model, version) else 400)

    for path, answer in (("", metadata), ("/config", config), ("/stats", statistics), ("/ready", model_ready)):
        get(path, answer)

    infer = infer_handler(api)

    async def generate(request: Request, model: str, version: str = "") -> Response:
        asked = await server.generate_request(model, version, {"stream": False, **_object(await request.body())})
        with api.permits.hold():
            answers = [answer async for answer in server.stream(asked)]
        return _json(generated_json(whole(answers)))

    async def generate_stream(request: Request, model: str, version: str = "") -> Response:
        asked = await server.generate_request(model, version, {"stream": True, **_object(await request.body())})

        async def lines() -> AsyncIterator[bytes]:
            try:
                with api.permits.hold():
                    async with aclosing(server.stream(asked)) as answers:
                        async for answer in answers:
                            yield b"data: " + orjson.dumps(generated_json(answer)) + b"\n\n"
            except AttuneError as error:
                yield b"data: " + orjson.dumps({"error": error.message}) + b"\n\n"

        await server.require(model, version)
        return StreamingResponse(lines(), media_type="text/event-stream")

    for path, route in (("/infer", infer), ("/generate", generate), ("/generate_stream", generate_stream)):
        for template in versioned(path):
            router.add_api_route(template, route, methods=["POST"])

    @router.post("/repository/index")
    async def index(request: Request) -> Response:
        return _json(await server.index(_object(await request.body()).get("ready") is True))

    @router.post("/repository/models/{model}/load")
    async def load(request: Request, model: str) -> Response:
        await server.load(model, _object(await request.body()).get("parameters") or {})
        return Response()

    @router.post("/repository/models/{model}/unload")
    async def unload(model: str) -> Response:
        await server.unload(model)
        return Response()

    return router


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"failed to parse the request JSON buffer: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput("the request is not a JSON object")
    return found

"""The OpenAI-compatible routes: models, completions and chat whole or streamed, embeddings."""

import base64
import time
from dataclasses import replace
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Response

from interest.errors import InvalidRequest
from serve.metrics import IN_FLIGHT
from serve.routes.api import Api
from serve.routes.errors import UnknownModel
from serve.routes.native import ERRORS, TimeoutHeader
from serve.routes.openai_replies import Json, Kind, Voice
from serve.routes.openai_schema import ChatBody, CompletionBody, EmbeddingsBody
from serve.routes.sse import data_chunk, error_chunk, event_stream, permitted

DONE = data_chunk(b"[DONE]")
TEXT, CHAT = "/v1/completions", "/v1/chat/completions"
ModelId = Annotated[str, Path(min_length=1, max_length=512)]


def openai_router(api: Api) -> APIRouter:
    """All of them over one `Api`; what costs computing takes the permits of recommendations."""
    router = APIRouter(responses=ERRORS)
    _add_models(router, api)

    @router.post(TEXT)
    async def completions(body: CompletionBody, timeout_ms: TimeoutHeader = None) -> Response:
        return await completed(api, body, "text", timeout_ms)

    @router.post(CHAT)
    async def chat_completions(body: ChatBody, timeout_ms: TimeoutHeader = None) -> Response:
        return await completed(api, body, "chat", timeout_ms)

    @router.post("/v1/embeddings")
    async def embeddings(body: EmbeddingsBody, timeout_ms: TimeoutHeader = None) -> Response:
        require_model(body.model, api.embeddings.model)
        texts = [body.input] if isinstance(body.input, str) else body.input
        with api.permits.hold(), IN_FLIGHT.track_inprogress():
            embedded = await api.embeddings.embed(texts, "input", timeout_ms)
        dims = embedded.vectors.shape[1]
        if body.dimensions not in (None, dims):
            raise InvalidRequest(f"dimensions={body.dimensions}: this model has {dims}", "dimensions")
        rows = embedded.vectors.astype("<f4")
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": row if body.encoding_format == "float" else base64.b64encode(row.tobytes()).decode(),
            }
            for place, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
        return json_reply({"object": "list", "data": data, "model": body.model, "usage": usage})

    return router


def require_model(asked: str, *served: str) -> None:
    """Raises `UnknownModel`."""
    if asked not in served:
        raise UnknownModel(f"model={asked!r}: not a model for this; GET /v1/models lists what there is", "model")


def json_reply(body: Json) -> Response:
    """NumPy rows included."""
    return Response(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


async def completed(api: Api, body: CompletionBody | ChatBody, kind: Kind, timeout_ms: int | None) -> Response:
    """The reply, whole or streamed as the body says. Raises our own errors for what goes wrong before it begins."""
    requests, voice = body.requests(), Voice(kind, body.model)
    if body.model != api.completions.model:
        require_model(body.model, *api.completions.adapters)
        requests = [replace(request, adapter=body.model) for request in requests]
    if not body.stream:
        with api.permits.hold(), IN_FLIGHT.track_inprogress():
            return json_reply(voice.whole(await api.completions.whole(requests, timeout_ms)))
    pieces = permitted(api, api.completions.streamed(requests, timeout_ms))
    chunks = voice.chunks(pieces, len(requests), body.stream_options)
    return await event_stream(chunks, lambda chunk: data_chunk(orjson.dumps(chunk)), error_chunk, DONE)


def _add_models(router: APIRouter, api: Api) -> None:
    started = int(time.time())

    def models() -> list[Json]:
        """The language model first: benchmark clients take the first they find."""
        completions = api.completions
        names = [completions.model, *completions.adapters] if completions.config.enabled else []
        found: list[Json] = [
            {"id": name, "object": "model", "created": started, "owned_by": "attune"}
            for name in (*names, api.embeddings.model)
        ]
        for model in found[: len(names)]:
            model["max_model_len"] = completions.config.engine.max_model_len
        for model in found[1 : len(names)]:
            model["parent"] = completions.model  # as vLLM lists its adapters
        return found

    @router.get("/v1/models")
    async def list_models() -> Response:
        return json_reply({"object": "list", "data": models()})

    @router.get("/v1/models/{model:path}")
    async def one_model(model: ModelId) -> Response:
        for found in models():
            if found["id"] == model:
                return json_reply(found)
        raise UnknownModel(f"model={model!r}: no such model", "model")

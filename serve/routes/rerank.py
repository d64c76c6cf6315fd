"""Reranking of the caller's texts under the three paths that clients of Jina, vLLM and Cohere ask."""

from fastapi import APIRouter, Response

from serve.metrics import IN_FLIGHT
from serve.replies import new_id
from serve.routes.api import Api
from serve.routes.native import ERRORS, TimeoutHeader
from serve.routes.openai import json_reply, require_model
from serve.routes.openai_replies import Json
from serve.routes.openai_schema import RerankBody


def rerank_router(api: Api) -> APIRouter:
    """One handler under all three."""
    router = APIRouter(responses=ERRORS)

    async def rerank(body: RerankBody, timeout_ms: TimeoutHeader = None) -> Response:
        """Most relevant first; `relevance_score` is the cosine between query and document, -1 to 1."""
        model = api.embeddings.model if body.model is None else body.model
        require_model(model, api.embeddings.model)
        texts = body.texts()
        with api.permits.hold(), IN_FLIGHT.track_inprogress():
            relevance = await api.embeddings.rerank(body.query, texts, timeout_ms)
        results: list[Json] = [
            {
                "index": place,
                "relevance_score": float(relevance.scores[place]),
                **({"document": {"text": texts[place]}} if body.return_documents else {}),
            }
            for place in relevance.order[: body.top_n].tolist()
        ]
        usage = {"prompt_tokens": relevance.tokens, "total_tokens": relevance.tokens}
        return json_reply({"id": new_id("rerank"), "model": model, "results": results, "usage": usage})

    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        router.add_api_route(path, rerank, methods=["POST"])
    return router

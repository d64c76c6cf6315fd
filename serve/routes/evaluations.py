"""Evaluations over HTTP: started here, computed behind the reply, asked after through any replica."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from serve.evaluation_schema import EvaluationRequest, EvaluationView
from serve.routes.api import Api
from serve.routes.native import ERRORS, TimeoutHeader, reply

EvaluationId = Annotated[str, Path(min_length=1, max_length=256)]


def evaluations_router(api: Api) -> APIRouter:
    """Both routes over one `Api`."""
    router = APIRouter(responses=ERRORS)

    @router.post("/v1/evaluations", status_code=202, response_model=EvaluationView)
    async def start(body: EvaluationRequest, timeout_ms: TimeoutHeader = None) -> Response:
        """Accepted only where `evaluation.enabled`. A start that was not answered in time may be made again."""
        async with api.read(timeout_ms):
            return reply(await api.evaluations.submit(body), 202)

    @router.get("/v1/evaluations/{evaluation_id}", response_model=EvaluationView)
    async def stand(evaluation_id: EvaluationId, timeout_ms: TimeoutHeader = None) -> Response:
        async with api.read(timeout_ms):
            return reply(await api.evaluations.view(evaluation_id))

    return router

"""Ranking of the caller's candidates, and the pages after the first: thin adapters onto the pipeline and the pages."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from serve import metrics
from serve.routes.api import Api
from serve.routes.native import ERRORS, TimeoutHeader, reply, with_timeout
from serve.schema import RankedCandidates, RankRequest, Recommendation

RecommendationId = Annotated[str, Path(min_length=1, max_length=256)]


def ranking_router(api: Api) -> APIRouter:
    """Both routes over one `Api`; they take the same permits as recommendations."""
    router = APIRouter(responses=ERRORS)

    @router.post("/v1/rank", response_model=RankedCandidates)
    async def rank(body: RankRequest, timeout_ms: TimeoutHeader = None) -> Response:
        with api.permits.hold(), metrics.IN_FLIGHT.track_inprogress():
            return reply(await api.pipeline.rank(with_timeout(body, timeout_ms)))

    @router.get("/v1/recommendations/{recommendation_id}/next", response_model=Recommendation)
    async def next_page(
        recommendation_id: RecommendationId,
        count: Annotated[int | None, Query(ge=1)] = None,
        after: Annotated[int | None, Query(ge=0)] = None,
        timeout_ms: TimeoutHeader = None,
    ) -> Response:
        """The page behind the first `after` places (those of the first reply); `next` in a reply holds both for you."""
        with api.permits.hold(), metrics.IN_FLIGHT.track_inprogress():
            timeout_s = api.pipeline.timeout_s(timeout_ms)
            return reply(await api.pages.page(recommendation_id, count, after, timeout_s))

    return router

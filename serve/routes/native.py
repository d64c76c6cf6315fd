"""The native HTTP API: thin adapters from requests onto the pipeline, the writes and the reader."""

import asyncio
import math
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, Discriminator, Tag

from interest.errors import InvalidRequest, NotFound, NotReady
from serve import metrics
from serve.routes.api import Api
from serve.routes.sse import native_events
from serve.schema import (
    Accepted,
    BatchRequest,
    Erased,
    ErrorEnvelope,
    EventBody,
    EventsBody,
    Generation,
    GenerationRequest,
    InterestsBody,
    InterestsView,
    ItemBody,
    ItemPut,
    ItemsAccepted,
    ItemsBody,
    ItemView,
    RankRequest,
    Recommendation,
    RecommendationBatch,
    RecommendationRequest,
    UserView,
)
from serve.streaming import recommendation_events

UserId = Annotated[str, Path(min_length=1, max_length=256)]
ItemId = Annotated[str, Path(min_length=1, max_length=256)]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]
TimeoutHeader = Annotated[int | None, Header(alias="X-Request-Timeout-Ms", ge=1)]
USERS_PER_PERMIT = 64  # of a batch
OneOrManyEvents = Annotated[
    Annotated[EventsBody, Tag("many")] | Annotated[EventBody, Tag("one")],
    Discriminator(
        lambda body: "many" if isinstance(body, EventsBody) or (isinstance(body, dict) and "events" in body) else "one"
    ),
]
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorEnvelope, "description": "error"}
    for status in (400, 404, 408, 409, 410, 413, 415, 422, 429, 500, 503)
}


def reply(body: BaseModel, status: int = 200) -> Response:
    """Serialised once, without FastAPI's second validation."""
    return Response(body.model_dump_json(exclude_none=True), status_code=status, media_type="application/json")


def native_router(api: Api) -> APIRouter:
    """All native routes over one `Api`."""
    router = APIRouter(responses=ERRORS)
    _add_recommendations(router, api)
    _add_events(router, api)
    _add_users(router, api)
    _add_items(router, api)
    _add_operations(router, api)
    return router


def _add_recommendations(router: APIRouter, api: Api) -> None:
    @router.post("/v1/recommendations", response_model=Recommendation)
    async def recommend(body: RecommendationRequest, timeout_ms: TimeoutHeader = None) -> Response:
        """One reply, or with `stream` the events of serve/streaming.py."""
        if body.stream:
            return await native_events(api, recommendation_events(api.pipeline, with_timeout(body, timeout_ms)))
        with api.permits.hold(), metrics.IN_FLIGHT.track_inprogress():
            return reply(await api.pipeline.recommend(with_timeout(body, timeout_ms)))

    @router.post("/v1/recommendations:batch", response_model=RecommendationBatch)
    async def recommend_batch(body: BatchRequest, timeout_ms: TimeoutHeader = None) -> Response:
        """All or nothing. N users take ceil(N / 64) permits: they are ranked together, but not for nothing."""
        limit = api.limits.max_batch_users
        if len(body.requests) > limit:
            raise InvalidRequest(f"requests: {len(body.requests)} users, at most {limit}", "requests")
        for place, one in enumerate(body.requests):
            if one.stream:
                raise InvalidRequest(f"requests.{place}.stream: a batch is one reply", f"requests.{place}.stream")
        with api.permits.hold(math.ceil(len(body.requests) / USERS_PER_PERMIT)), metrics.IN_FLIGHT.track_inprogress():
            requests = [with_timeout(one, timeout_ms) for one in body.requests]
            return reply(RecommendationBatch(data=await api.pipeline.recommend_all(requests)))

    @router.post("/v1/generations", response_model=Generation)
    async def generate(body: GenerationRequest, timeout_ms: TimeoutHeader = None) -> Response:
        if len(body.item_ids) > api.limits.max_count:
            raise InvalidRequest(f"item_ids: {len(body.item_ids)} ids, at most {api.limits.max_count}", "item_ids")
        if body.stream:
            return await native_events(api, api.generations.events(with_timeout(body, timeout_ms)))
        with api.permits.hold(), metrics.IN_FLIGHT.track_inprogress():
            return reply(await api.generations.generate(with_timeout(body, timeout_ms)))


def _add_events(router: APIRouter, api: Api) -> None:
    async def events(
        body: OneOrManyEvents, idempotency_key: IdempotencyKey = None, timeout_ms: TimeoutHeader = None
    ) -> Response:
        bodies = body.events if isinstance(body, EventsBody) else [body]
        async with api.write(timeout_ms):
            return reply(await api.writes.events(bodies, idempotency_key), 202)

    for path in ("/v1/events", "/v1/feedback"):
        router.add_api_route(path, events, methods=["POST"], status_code=202, response_model=Accepted)


def _add_users(router: APIRouter, api: Api) -> None:
    # Ids may hold slashes, so the routes with an ending come first.
    @router.get("/v1/users/{user_id:path}/interests", response_model=InterestsView)
    async def get_interests(
        user_id: UserId,
        include: Annotated[list[str], Query()] = [],  # noqa: B006  # FastAPI copies it
        as_of: Annotated[float | None, Query(ge=0)] = None,
        timeout_ms: TimeoutHeader = None,
    ) -> Response:
        async with api.read(timeout_ms):
            return reply(await api.users.interests(user_id, "vector" in include, as_of))

    @router.put("/v1/users/{user_id:path}/interests", response_model=InterestsView)
    async def put_interests(
        user_id: UserId,
        body: InterestsBody,
        idempotency_key: IdempotencyKey = None,
        timeout_ms: TimeoutHeader = None,
    ) -> Response:
        async with api.write(timeout_ms):
            await api.writes.interests(user_id, body.interests, True, idempotency_key)
            return reply(await api.users.interests(user_id, False, None))

    @router.patch("/v1/users/{user_id:path}/interests", response_model=InterestsView)
    async def patch_interests(
        user_id: UserId,
        body: InterestsBody,
        idempotency_key: IdempotencyKey = None,
        timeout_ms: TimeoutHeader = None,
    ) -> Response:
        async with api.write(timeout_ms):
            await api.writes.interests(user_id, body.interests, False, idempotency_key)
            return reply(await api.users.interests(user_id, False, None))

    @router.get("/v1/users/{user_id:path}", response_model=UserView)
    async def get_user(user_id: UserId, timeout_ms: TimeoutHeader = None) -> Response:
        async with api.read(timeout_ms):
            return reply(await api.users.summary(user_id))

    @router.delete("/v1/users/{user_id:path}", response_model=Erased)
    async def erase_user(user_id: UserId, timeout_ms: TimeoutHeader = None) -> Response:
        async with api.write(timeout_ms):
            return reply(await api.writes.erase(user_id))


def _add_items(router: APIRouter, api: Api) -> None:
    @router.post("/v1/items:batch", response_model=ItemsAccepted)
    async def put_items(body: ItemsBody, timeout_ms: TimeoutHeader = None) -> Response:
        async with api.write(timeout_ms):
            return reply(await api.writes.items(body.items))

    @router.put("/v1/items/{item_id:path}", response_model=ItemsAccepted)
    async def put_item(item_id: ItemId, body: ItemPut, timeout_ms: TimeoutHeader = None) -> Response:
        if body.item_id not in (None, item_id):
            raise InvalidRequest(f"item_id={body.item_id!r}: the path says {item_id!r}", "item_id")
        item = ItemBody.model_validate({**body.model_dump(), "item_id": item_id})
        async with api.write(timeout_ms):
            return reply(await api.writes.items([item]))

    @router.get("/v1/items/{item_id:path}", response_model=ItemView)
    async def get_item(item_id: ItemId, timeout_ms: TimeoutHeader = None) -> Response:
        async with api.read(timeout_ms):
            item = await asyncio.to_thread(api.reader.item, item_id)
        if item is None:
            raise NotFound(f"item_id={item_id!r}: no such item", "item_id")
        return reply(ItemView.model_validate(item))

    @router.delete("/v1/items/{item_id:path}", status_code=204)
    async def delete_item(item_id: ItemId, timeout_ms: TimeoutHeader = None) -> Response:
        async with api.write(timeout_ms):
            await api.writes.delete_item(item_id)
        return Response(status_code=204)


def _add_operations(router: APIRouter, api: Api) -> None:
    @router.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/ready")
    async def ready() -> dict[str, str]:
        if not api.readiness.ready:
            raise NotReady(api.readiness.reason)
        return {"status": "ready"}

    @router.get("/version")
    async def version() -> dict[str, str]:
        return api.version

    @router.get("/metrics", response_class=Response)
    async def metrics_text() -> Response:
        return Response(await asyncio.to_thread(metrics.render), media_type=metrics.CONTENT_TYPE)


Timed = TypeVar("Timed", RecommendationRequest, GenerationRequest, RankRequest)


def with_timeout(body: Timed, timeout_ms: int | None) -> Timed:
    """The shorter of the body's and the header's timeout."""
    if timeout_ms is None or (body.timeout_ms is not None and body.timeout_ms <= timeout_ms):
        return body
    return body.model_copy(update={"timeout_ms": timeout_ms})

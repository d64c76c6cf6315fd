"""THE request: from a validated body to a reply, top to bottom, with no Ray and no HTTP in it."""

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from interest.catalogue import Catalogue, CatalogueView
from interest.clock import Clock
from interest.errors import InvalidRequest, NotFound, NotReady
from interest.items import Item
from interest.store.protocol import Impression
from ranking.exploration import seed_of
from ranking.filters import compile_filter
from serve.admission import Deadline
from serve.config import ServerConfig
from serve.generation.generator import GeneratedText
from serve.metrics import TIERS
from serve.popular import PopularItems
from serve.ranker import BatchRanker, Exploration, Query, Ranking, Stage, StageFailed
from serve.replies import content, new_id, recommended, usage
from serve.schema import (
    Generate,
    GeneratedContent,
    GeneratedItem,
    Generation,
    GenerationRequest,
    Recommendation,
    RecommendationRequest,
    Tier,
    Usage,
)
from serve.startup import candidates_of
from serve.writer import REPLY_MARGIN_S, ContentWriter

CATCH_UP_S, CATCH_UP_STEP_S = 1.0, 0.02  # how long, and how often asked, for an item that other replicas know already
RANKING_SHARE = 0.7  # of the deadline: what is left is for the reply, or for content


class ImpressionLog(Protocol):
    """Takes impressions without making the reply wait."""

    def put(self, impressions: Sequence[Impression]) -> None: ...


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the texts of one request; `missing` whether one is that was asked for."""

    contents: Sequence[GeneratedContent | None]  # one an item
    usage: Usage = field(default_factory=Usage)
    missing: bool = False
    timings_ms: Mapping[str, float] = field(default_factory=dict)  # empty when no text was asked for


@dataclass(frozen=True, slots=True)
class Served:
    """What the ranking stages, or their stand-in, came up with for one request."""

    ranking: Ranking
    tier: Tier
    degraded: tuple[str, ...] = ()


class Pipeline:
    """One ingress replica's request path. `stages` are callables from named arrays to named arrays."""

    def __init__(
        self,
        config: ServerConfig,
        stages: Mapping[str, Stage],
        catalogue: Catalogue,
        popular: PopularItems,
        clock: Clock,
        model_versions: Mapping[str, str],
        impressions: ImpressionLog,
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._popular = popular
        self._clock = clock
        self._versions = dict(model_versions)
        self._impressions = impressions
        self._domain_of: tuple[int, str] | None = None  # main domain of a version of the catalogue
        self._writer = ContentWriter(stages["generator"], config.generation)
        batching = config.batching
        self._ranker = BatchRanker(
            stages,
            self._versions["release"],
            candidates_of(config),
            batching.max_batch_size,
            batching.max_in_flight,
        )

    async def close(self) -> None:
        await self._ranker.close()

    async def recommend(self, request: RecommendationRequest) -> Recommendation:
        """1 check, 2-4 rank in a batch with others, 5 write, 6 reply; what is shown is logged and counted."""
        requested_at = time.time()
        reply = await self.answer(request)
        self._record(request, reply, requested_at)
        return reply

    async def recommend_all(self, requests: Sequence[RecommendationRequest]) -> list[Recommendation]:
        """`recommend` for many at once, all or nothing: the first error ends the others, and nothing is logged then.

        A refused request is named in the error (`requests.3.count`), before any of them is computed.
        """
        requested_at = time.time()
        view = self._catalogue.view()
        queries = []
        for position, request in enumerate(requests):
            with _naming(position):
                queries.append(self._query(request, view))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._answer_one(position, request, query))
                    for position, (request, query) in enumerate(zip(requests, queries, strict=True))
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        replies = [task.result() for task in tasks]
        for request, reply in zip(requests, replies, strict=True):
            self._record(request, reply, requested_at)
        return replies

    async def answer(self, request: RecommendationRequest) -> Recommendation:
        """The reply alone, leaving no trace in log or counters (the warm-up asks this way)."""
        return await self._answer(request, self._query(request, self._catalogue.view()))

    async def _answer_one(self, position: int, request: RecommendationRequest, query: Query) -> Recommendation:
        with _naming(position):
            return await self._answer(request, query)

    async def _answer(self, request: RecommendationRequest, query: Query) -> Recommendation:
        deadline = Deadline(self.timeout_s(request.timeout_ms))
        served = await self._rank(query, request, deadline)
        served, items = await self._items_of(served, deadline)
        written = await self._write(request.generate, served.ranking, items, deadline)
        return self._reply(request, query.reply_id, served, items, written)

    async def generate(self, request: GenerationRequest) -> Generation:
        """Texts about the caller's items, written for our user.

        Errors: `NotReady` when there is no generator or none answers, `DeadlineExceeded` without any text in time.
        """
        if not self._config.generation.enabled:
            raise NotReady("generation: switched off in this server's config (generation.enabled)")
        deadline = Deadline(self.timeout_s(request.timeout_ms))
        view = self._catalogue.view()
        items = [_known_item(view, item_id) for item_id in request.item_ids]
        now = self._clock.quantised(self._clock.now())
        exclude = np.empty(0, dtype=np.int64)
        query = Query(request.user_id, len(items), now, math.nan, False, exclude)
        ranking = (await self._rank(query, None, deadline)).ranking
        written = await self._write(request.generate, ranking, items, deadline)
        pairs = list(zip(items, written.contents, strict=True))
        if not any(written.contents):
            deadline.check("generation", REPLY_MARGIN_S)
            raise NotReady("generation: the language model does not answer")
        return Generation(
            id=new_id("gen"),
            user_id=request.user_id,
            data=[GeneratedItem(item_id=item.item_id, **dict(text)) for item, text in pairs if text is not None],
            missing=[item.item_id for item, text in pairs if text is None],
            model_versions=self._versions,
            usage=written.usage,
        )

    def timeout_s(self, timeout_ms: int | None) -> float:
        limits = self._config.limits
        return min(timeout_ms or limits.default_timeout_ms, limits.max_timeout_ms) / 1000

    def _query(self, request: RecommendationRequest, view: CatalogueView) -> Query:
        limits = self._config.limits
        if request.count > limits.max_count:
            raise InvalidRequest(f"count={request.count}: must be 1 to {limits.max_count}", "count")
        if len(request.exclude_ids) > limits.max_excluded:
            raise InvalidRequest(
                f"exclude_ids: {len(request.exclude_ids)} ids, at most {limits.max_excluded}", "exclude_ids"
            )
        if request.as_of is not None and not self._config.evaluation.enabled:
            raise InvalidRequest("as_of: accepted only when evaluation is enabled", "as_of")
        if request.filter:
            compile_filter(request.filter)  # here, so that a bad one fails this request and not its batch
        rows = (view.row_of_id(item_id) for item_id in request.exclude_ids)
        domain = request.domain or self._main_domain(view)
        reply_id = new_id("rec")
        return Query(
            user_id=request.user_id,
            count=request.count,
            now=self._clock.quantised(self._clock.now()) if request.as_of is None else request.as_of,
            as_of=math.nan if request.as_of is None else request.as_of,
            exclude_seen=domain != "e-commerce" if request.exclude_seen is None else request.exclude_seen,
            exclude=np.array([view.keys[row] for row in rows if row is not None], dtype=np.int64),
            domain=request.domain,
            language=request.language or "",
            filter=request.filter,
            diversity=request.diversity,
            calibration=request.calibration,
            exploration=self._exploration(request, reply_id),
            reply_id=reply_id,
        )

    def _exploration(self, request: RecommendationRequest, reply_id: str) -> Exploration | None:
        """None for an evaluation, which must find what would be shown. The reply's id gives the draws again."""
        settings = self._config.exploration
        if not settings.enabled or request.as_of is not None:
            return None
        return Exploration(settings.epsilon, settings.tail_start, settings.depth, seed_of(reply_id))

    async def _rank(self, query: Query, request: RecommendationRequest | None, deadline: Deadline) -> Served:
        """The learned ranking, or recent popularity when a stage fails or takes too long."""
        query = replace(query, expires=deadline.expires)
        try:
            ranking = await asyncio.wait_for(self._ranker.rank(query), deadline.share_s(RANKING_SHARE))
        except TimeoutError:
            return Served(self._popular.ranking(query), "popular", ("deadline",))
        except StageFailed as error:
            return Served(self._popular.ranking(query), "popular", (error.stage,))
        if request is not None and request.strict_user and not ranking.known:
            raise NotFound("user_id: nothing is known of this user", "user_id")
        return Served(ranking, "full" if ranking.known else "cold_start")

    async def _write(
        self, generate: Generate | None, ranking: Ranking, items: Sequence[Item], deadline: Deadline
    ) -> Written:
        """One text an item, as far as the generator gives them in time."""
        if generate is None:
            return Written([None] * len(items))
        start = time.perf_counter()
        texts: Sequence[GeneratedText | None] = [None] * len(items)
        if items and self._config.generation.enabled:
            texts = await self._writer.write(items, ranking.interests, generate, deadline.remaining_s())
        contents = [
            content(text, generate.content_type, self._writer.language(item, generate)) if text else None
            for item, text in zip(items, texts, strict=True)
        ]
        timings = {"generate": round(1000 * (time.perf_counter() - start), 3)}
        return Written(contents, usage(texts), None in contents, timings)

    async def _items_of(self, served: Served, deadline: Deadline) -> tuple[Served, list[Item]]:
        """The ranked items, as far as they still exist.

        The retriever may know an item a moment before this replica: it waits for its own copy to catch up.
        """
        waiting = Deadline(min(deadline.remaining_s() / 2, CATCH_UP_S))
        keys = served.ranking.item_keys
        while True:
            view = self._catalogue.view()
            rows = view.rows(keys)
            if rows.min(initial=0) >= 0 or waiting.remaining_s() <= 0:
                break
            await asyncio.sleep(CATCH_UP_STEP_S)
        there = (rows >= 0) & view.available[rows] if len(view) else np.zeros(len(rows), dtype=np.bool_)
        if not there.all():
            served = replace(served, ranking=served.ranking.only(there))
        return served, [view.items[row] for row in rows[there]]

    def _reply(
        self,
        request: RecommendationRequest,
        reply_id: str,
        served: Served,
        items: Sequence[Item],
        written: Written,
    ) -> Recommendation:
        tier: Tier = "no_generation" if written.missing and served.tier == "full" else served.tier
        return Recommendation(
            id=reply_id,
            user_id=request.user_id,
            data=[
                recommended(request, served.ranking, rank, item, text)
                for rank, (item, text) in enumerate(zip(items, written.contents, strict=True))
            ],
            tier=tier,
            degraded=[*served.degraded, *(["generation"] if written.missing else [])],
            model_versions=self._versions,
            usage=written.usage,
            timings_ms={**served.ranking.timings_ms, **written.timings_ms} if "timings" in request.include else None,
        )

    def _record(self, request: RecommendationRequest, reply: Recommendation, requested_at: float) -> None:
        """What leaves here is counted, and logged as shown."""
        TIERS.labels(reply.tier).inc()
        if request.as_of is not None:
            return  # an evaluation is not a person looking
        now = self._clock.now()
        self._impressions.put(
            [
                Impression(
                    recommendation_id=reply.id,
                    user_id=request.user_id,
                    item_id=item.item_id,
                    position=item.rank,
                    timestamp=now,
                    requested_at=requested_at,
                    score=item.score,
                    propensity=item.propensity,
                    release=self._versions["release"],
                    text=item.generated.text if item.generated else "",
                    source=item.generated.source if item.generated else "",
                )
                for item in reply.data
            ]
        )

    def _main_domain(self, view: CatalogueView) -> str:
        """The domain most items are of, which decides whether seen items are left out when a request names none."""
        if self._domain_of is None or self._domain_of[0] != view.version:
            self._domain_of = (view.version, view.main_domain())
        return self._domain_of[1]


@contextmanager
def _naming(position: int) -> Iterator[None]:
    """A refusal inside says which request of a batch it is about."""
    try:
        yield
    except (InvalidRequest, NotFound) as error:
        place = f"requests.{position}"
        raise type(error)(f"{place}.{error.message}", f"{place}.{error.param}" if error.param else place) from error


def _known_item(view: CatalogueView, item_id: str) -> Item:
    row = view.row_of_id(item_id)
    if row is None:
        raise NotFound(f"item_id={item_id!r}: no such item", "item_ids")
    return view.items[row]

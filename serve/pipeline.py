"""THE request: from a validated body to a reply, top to bottom, with no Ray and no HTTP in it."""

import asyncio
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

import numpy as np

from interest.catalogue import Catalogue
from interest.clock import Clock
from interest.errors import InvalidRequest, NotFound
from interest.items import Item
from interest.store.protocol import Impression, Snapshot
from serve.admission import Deadline
from serve.config import ServerConfig
from serve.impressions import Shown, ShownItem, impressions_of
from serve.metrics import TIERS
from serve.oip.statistics import ModelStatistics
from serve.popular import PopularItems
from serve.queries import QueryMaker, leaves_traces
from serve.ranker import BatchRanker, Query, Ranking, Stage, StageFailed
from serve.replies import next_page, recommended
from serve.schema import (
    RankedCandidates,
    RankingRequest,
    RankRequest,
    Recommendation,
    RecommendationRequest,
    Tier,
)
from serve.snapshots import packed
from serve.startup import candidates_of
from serve.text_order import text_order
from serve.writer import ContentWriter, Interests, Written

CATCH_UP_S, CATCH_UP_STEP_S = 1.0, 0.02  # how long, and how often asked, for an item that other replicas know already
RANKING_SHARE = 0.7  # of the deadline: what is left is for the reply, or for content


class ImpressionLog(Protocol):
    """Takes impressions, and rankings for their next pages, without making the reply wait."""

    def put(self, impressions: Sequence[Impression]) -> None: ...

    def keep(self, snapshot: Snapshot) -> None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """What the ranking stages, or their stand-in, came up with for one request."""

    ranking: Ranking
    tier: Tier
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a reply will show, before anything is written about it."""

    reply_id: str
    served: Served
    items: Sequence[Item]  # the first ones of the ranking
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, and the ranking that it is the first page of."""

    reply: Recommendation
    ranking: Ranking
    origins: Sequence[str]  # of its texts


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
        writer: ContentWriter,
    ) -> None:
        self.writer = writer
        self._config = config
        self._catalogue = catalogue
        self._popular = popular
        self._clock = clock
        self._versions = dict(model_versions)
        self._impressions = impressions
        self._queries = QueryMaker(config, clock)
        batching = config.batching
        self._ranker = BatchRanker(
            stages,
            self._versions["release"],
            candidates_of(config),
            batching.max_batch_size,
            batching.max_in_flight,
            {
                "interest": ModelStatistics("interest", self._versions["interest"]),
                "retriever": ModelStatistics("retriever", self._versions["index"]),
                "reranker": ModelStatistics("reranker", self._versions["reranker"]),
            },
        )

    async def close(self) -> None:
        await self._ranker.close()

    async def recommend(self, request: RecommendationRequest) -> Recommendation:
        """1 check, 2-4 rank in a batch with others, 5 write, 6 reply; what is shown is logged and counted."""
        requested_at = time.time()
        answered = await self._answer(request, self.query(request))
        self.record(request, answered, requested_at)
        return answered.reply

    async def recommend_all(self, requests: Sequence[RecommendationRequest]) -> list[Recommendation]:
        """`recommend` for many at once, all or nothing: the first error ends the others, and nothing is logged then.

        A refused request is named in the error (`requests.3.count`), before any of them is computed.
        """
        requested_at = time.time()
        view = self._catalogue.view()
        queries = []
        for position, request in enumerate(requests):
            with _naming(position):
                queries.append(self._queries.recommendation(request, view))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._answer_one(position, request, query))
                    for position, (request, query) in enumerate(zip(requests, queries, strict=True))
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        for request, task in zip(requests, tasks, strict=True):
            self.record(request, task.result(), requested_at)
        return [task.result().reply for task in tasks]

    async def choose_all(self, requests: Sequence[RecommendationRequest]) -> list[Chosen]:
        """The items for requests that are one batch, without a text; logged and counted as those of `recommend`.

        No request's own `timeout_ms`, `strict_user` or `generate` is looked at. Raises `InvalidRequest` for the first
        one that is refused; nothing is computed then.
        """
        requested_at, deadline = time.time(), Deadline(self.timeout_s(None))
        view = self._catalogue.view()
        queries = []
        for position, request in enumerate(requests):
            with _naming(position):
                queries.append(self._queries.recommendation(request, view, deadline.expires))
        served = await self._rank_all(queries, self._ranker.rank_batch(queries), deadline)
        found = self._all_items_of(served) or await asyncio.gather(
            *(self._items_of(one, request.count, deadline) for one, request in zip(served, requests, strict=True))
        )
        chosen = [
            Chosen(query.reply_id, ranked, items[: request.count], deadline)
            for request, query, (ranked, items) in zip(requests, queries, found, strict=True)
        ]
        for request, one in zip(requests, chosen, strict=True):
            self._record_items(request, one, requested_at)
        return chosen

    async def answer(self, request: RecommendationRequest) -> Recommendation:
        """The reply alone, leaving no trace in log or counters (the warm-up asks this way)."""
        return (await self._answer(request, self.query(request))).reply

    async def rank(self, request: RankRequest) -> RankedCandidates:
        """The caller's candidates in the order for our user. Nothing is logged: what is shown is the caller's choice.

        Raises `InvalidRequest`; an item id that means nothing is told in the reply instead.
        """
        deadline = Deadline(self.timeout_s(request.timeout_ms))
        query = self._queries.ranking(request, self._catalogue.view())
        served, items = await self._items_of(await self._rank(query, False, deadline), query.count, deadline)
        ranked = {item.item_id for item in items}
        items = items[: request.count]
        reply = self._reply(request, query.reply_id, served, items, Written([None] * len(items)))
        TIERS.labels(reply.tier).inc()
        missing = [item_id for item_id in dict.fromkeys(request.item_ids) if item_id not in ranked]
        return RankedCandidates(**dict(reply), missing=missing)

    async def _answer_one(self, position: int, request: RecommendationRequest, query: Query) -> Answered:
        with _naming(position):
            return await self._answer(request, query)

    async def _answer(self, request: RecommendationRequest, query: Query) -> Answered:
        chosen = await self.choose(request, query)
        interests = chosen.served.ranking.interests
        written = await self.writer.written(request.generate, interests, chosen.items, chosen.deadline)
        return self.answered(request, *self.ordered(chosen, written))

    def query(self, request: RecommendationRequest) -> Query:
        """1: raises `InvalidRequest`."""
        return self._queries.recommendation(request, self._catalogue.view())

    async def choose(self, request: RecommendationRequest, query: Query) -> Chosen:
        """2 to 4: the deadline starts here."""
        deadline = Deadline(self.timeout_s(request.timeout_ms))
        served = await self._rank(query, request.strict_user, deadline)
        served, items = await self._items_of(served, request.count, deadline)
        return Chosen(query.reply_id, served, items[: request.count], deadline)

    def ordered(self, chosen: Chosen, written: Written) -> tuple[Chosen, Written]:
        """Both in the order that the scores of the texts make of them; as they are where no text was scored."""
        weight = self._config.generation.text_score_weight
        found = text_order(chosen.served.ranking, written.contents, weight)
        if found is None:
            return chosen, written
        ranking, order = found
        served = replace(chosen.served, ranking=ranking)
        items = [chosen.items[place] for place in order]
        contents = [written.contents[place] for place in order]
        origins = [written.origins[place] for place in order]
        return replace(chosen, served=served, items=items), replace(written, contents=contents, origins=origins)

    def answered(self, request: RecommendationRequest, chosen: Chosen, written: Written) -> Answered:
        """6: the reply, with the path of its next page where there is one."""
        ranking = chosen.served.ranking
        reply = self._reply(request, chosen.reply_id, chosen.served, chosen.items, written)
        if leaves_traces(request) and len(ranking.item_keys) > len(chosen.items):
            reply.next = next_page(reply.id, request.count, len(chosen.items))
        return Answered(reply, ranking, written.origins)

    async def user(self, user_id: str, items: int, deadline: Deadline) -> tuple[str, Interests]:
        """An id for a reply about so many items of the caller's choice, and what the user is interested in."""
        query = self._queries.user_alone(user_id, items)
        return query.reply_id, (await self._rank(query, False, deadline)).ranking.interests

    def timeout_s(self, timeout_ms: int | None) -> float:
        limits = self._config.limits
        return min(timeout_ms or limits.default_timeout_ms, limits.max_timeout_ms) / 1000

    async def _rank(self, query: Query, strict_user: bool, deadline: Deadline) -> Served:
        """The learned ranking, or recent popularity when a stage fails or takes too long."""
        query = replace(query, expires=deadline.expires)
        (served,) = await self._rank_all([query], self._rank_in_batch(query), deadline)
        if strict_user and served.tier == "cold_start":
            raise NotFound("user_id: nothing is known of this user", "user_id")
        return served

    async def _rank_in_batch(self, query: Query) -> list[Ranking]:
        return [await self._ranker.rank(query)]

    async def _rank_all(
        self, queries: Sequence[Query], ranking: Awaitable[Sequence[Ranking]], deadline: Deadline
    ) -> list[Served]:
        try:
            async with asyncio.timeout(deadline.share_s(RANKING_SHARE)):
                rankings = await ranking
        except TimeoutError:
            return [Served(self._popular.ranking(query), "popular", ("deadline",)) for query in queries]
        except StageFailed as error:
            return [Served(self._popular.ranking(query), "popular", (error.stage,)) for query in queries]
        return [Served(found, "full" if found.known else "cold_start") for found in rankings]

    def _all_items_of(self, served: Sequence[Served]) -> list[tuple[Served, list[Item]]]:
        """`_items_of` of all at once; nothing when any of their items is not there (any more, or yet)."""
        view = self._catalogue.view()
        rows = view.rows(np.concatenate([one.ranking.item_keys for one in served]))
        if len(view) == 0 or not ((rows >= 0) & view.available[rows]).all():
            return []
        items = (view.items[row] for row in rows.tolist())
        return [(one, list(islice(items, len(one.ranking.item_keys)))) for one in served]

    async def _items_of(self, served: Served, count: int, deadline: Deadline) -> tuple[Served, list[Item]]:
        """The ranked items, as far as they still exist.

        The retriever may know an item a moment before this replica: among the first `count` it waits for its own copy
        to catch up.
        """
        waiting = Deadline(min(deadline.remaining_s() / 2, CATCH_UP_S))
        keys = served.ranking.item_keys
        while True:
            view = self._catalogue.view()
            rows = view.rows(keys)
            if rows[:count].min(initial=0) >= 0 or waiting.remaining_s() <= 0:
                break
            await asyncio.sleep(CATCH_UP_STEP_S)
        there = (rows >= 0) & view.available[rows] if len(view) else np.zeros(len(rows), dtype=np.bool_)
        if not there.all():
            served = replace(served, ranking=served.ranking.only(there))
        return served, [view.items[row] for row in rows[there]]

    def _reply(
        self, request: RankingRequest, reply_id: str, served: Served, items: Sequence[Item], written: Written
    ) -> Recommendation:
        """`items` are the first ones of the ranking."""
        tier: Tier = "no_generation" if written.missing and served.tier == "full" else served.tier
        return Recommendation(
            id=reply_id,
            user_id=request.user_id,
            data=[
                recommended(request.include, served.ranking, place, place + 1, item, text)
                for place, (item, text) in enumerate(zip(items, written.contents, strict=True))
            ],
            tier=tier,
            degraded=[*served.degraded, *(["generation"] if written.missing else [])],
            model_versions=self._versions,
            usage=written.usage,
            timings_ms={**served.ranking.timings_ms, **written.timings_ms} if "timings" in request.include else None,
        )

    def record(self, request: RecommendationRequest, answered: Answered, requested_at: float) -> None:
        """What leaves here is counted, logged as shown, and kept for the pages to come."""
        reply = answered.reply
        served = Served(answered.ranking, reply.tier, tuple(reply.degraded))
        self._record(request, reply.id, served, reply.data, answered.origins, requested_at)

    def _record_items(self, request: RecommendationRequest, chosen: Chosen, requested_at: float) -> None:
        ranking, count = chosen.served.ranking, len(chosen.items)
        numbers = zip(ranking.scores[:count].tolist(), ranking.propensity[:count].tolist(), strict=True)
        shown = [
            ShownItem(item.item_id, place, score, propensity)
            for place, (item, (score, propensity)) in enumerate(zip(chosen.items, numbers, strict=True), 1)
        ]
        self._record(request, chosen.reply_id, chosen.served, shown, (), requested_at)

    def _record(
        self,
        request: RecommendationRequest,
        reply_id: str,
        served: Served,
        items: Sequence[Shown],
        origins: Sequence[str],
        requested_at: float,
    ) -> None:
        """`items`: those of the reply; where the ranking holds more, there are pages to come."""
        TIERS.labels(served.tier).inc()
        if request.user_id is None or not leaves_traces(request):
            return
        now, release = self._clock.now(), self._versions["release"]
        self._impressions.put(impressions_of(reply_id, items, origins, request.user_id, release, now, requested_at))
        if len(served.ranking.item_keys) > len(items):
            body = packed(request, len(items), served.tier, served.degraded, self._versions, served.ranking)
            self._impressions.keep(
                Snapshot(
                    recommendation_id=reply_id,
                    user_id=request.user_id,
                    requested_at=requested_at,
                    expires_at=requested_at + self._config.paging.keep_s,
                    body=body,
                )
            )


@contextmanager
def _naming(position: int) -> Iterator[None]:
    """A refusal inside says which request of a batch it is about."""
    try:
        yield
    except (InvalidRequest, NotFound) as error:
        place = f"requests.{position}"
        raise type(error)(f"{place}.{error.message}", f"{place}.{error.param}" if error.param else place) from error

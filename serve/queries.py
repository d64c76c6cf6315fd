"""From what a request says to what the batch stages are asked: checked, and item keys instead of ids."""

import math
from collections.abc import Sequence

import numpy as np

from interest.catalogue import CatalogueView
from interest.clock import Clock
from interest.errors import InvalidRequest
from interest.events import EVENT_CODES
from ranking.exploration import seed_of
from ranking.filters import compile_filter
from serve.config import ServerConfig
from serve.ranker import NO_HISTORY, Exploration, History, Query
from serve.replies import new_id
from serve.schema import Booster, Generate, HistoryEvent, RankingRequest, RankRequest, RecommendationRequest
from serve.startup import candidates_of
from serve.writes import MAX_AHEAD_S

NOTHING = np.empty(0, dtype=np.int64)


class QueryMaker:
    """Refuses by name what a request must not say, so that it fails this request and not its batch."""

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        self._limits = config.limits
        self._evaluation = config.evaluation.enabled
        self._explore = config.exploration
        self._depth = min(config.paging.depth, candidates_of(config))
        self._max_texts = config.generation.max_texts
        self._clock = clock
        self._domain_of: tuple[int, str] | None = None  # main domain of a version of the catalogue

    def recommendation(self, request: RecommendationRequest, view: CatalogueView, expires: float = math.inf) -> Query:
        """Raises `InvalidRequest`. A reply that has next pages is ranked deeper than its `count`."""
        self._check(request)
        self._at_most("count", request.count, self._limits.max_count)
        excluded = len(request.exclude_ids)
        if excluded > self._limits.max_excluded:
            raise InvalidRequest(f"exclude_ids: {excluded} ids, at most {self._limits.max_excluded}", "exclude_ids")
        if request.generate is not None:
            check_texts(request.generate, request.count, self._max_texts)
        if request.filter:
            compile_filter(request.filter)
        domain = request.domain or self._main_domain(view)
        reply_id = new_id("rec")
        return Query(
            user_id=request.user_id or "",
            count=max(request.count, self._depth) if leaves_traces(request) else request.count,
            now=self._now(request),
            as_of=math.nan if request.as_of is None else request.as_of,
            exclude_seen=domain != "e-commerce" if request.exclude_seen is None else request.exclude_seen,
            exclude=_keys(request.exclude_ids, view),
            domain=request.domain,
            language=request.language or "",
            filter=request.filter,
            boosts=self._boosts(request.booster),
            history=self._history(request, view),
            diversity=request.diversity,
            calibration=request.calibration,
            exploration=self._exploration(request, reply_id),
            reply_id=reply_id,
            expires=expires,
        )

    def ranking(self, request: RankRequest, view: CatalogueView) -> Query:
        """All of the caller's candidates that exist for the request. Raises `InvalidRequest`."""
        self._check(request)
        limit = self._limits.max_ranked
        if len(request.item_ids) > limit:
            raise InvalidRequest(f"item_ids: {len(request.item_ids)} ids, at most {limit}", "item_ids")
        self._at_most("count", request.count or 1, limit)
        keys = _keys(request.item_ids, view)
        if request.as_of is not None:
            keys = keys[~(view.created_at[view.rows(keys)] > request.as_of)]
        return Query(
            user_id=request.user_id or "",
            count=len(keys),
            now=self._now(request),
            as_of=math.nan if request.as_of is None else request.as_of,
            exclude_seen=False,
            exclude=NOTHING,
            boosts=self._boosts(request.booster),
            given=np.unique(keys),
            history=self._history(request, view),
            reply_id=new_id("rank"),
        )

    def user_alone(self, user_id: str, count: int) -> Query:
        """A query that is made for what it tells of the user."""
        now = self._clock.quantised(self._clock.now())
        return Query(user_id, count, now, math.nan, False, NOTHING, reply_id=new_id("gen"))

    def _exploration(self, request: RecommendationRequest, reply_id: str) -> Exploration | None:
        """Only where what is shown is logged: drawn places cost score, and without a log nobody learns from them.

        So an evaluation finds what would be shown. The reply's id gives the draws again.
        """
        explore = self._explore
        if not explore.enabled or not leaves_traces(request):
            return None
        return Exploration(explore.epsilon, explore.tail_start, explore.depth, seed_of(reply_id))

    def _check(self, request: RankingRequest) -> None:
        if request.user_id is None and not request.history:
            raise InvalidRequest("user_id: needed by a request without history", "user_id")
        if request.as_of is not None and not self._evaluation:
            raise InvalidRequest("as_of: accepted only when evaluation is enabled", "as_of")

    def _at_most(self, name: str, value: int, limit: int) -> None:
        if value > limit:
            raise InvalidRequest(f"{name}={value}: must be 1 to {limit}", name)

    def _now(self, request: RankingRequest) -> float:
        return self._clock.quantised(self._clock.now()) if request.as_of is None else request.as_of

    def _boosts(self, boosters: Sequence[Booster]) -> tuple[tuple[str, float], ...]:
        limit = self._limits.max_boosters
        if len(boosters) > limit:
            raise InvalidRequest(f"booster: {len(boosters)} boosters, at most {limit}", "booster")
        for place, booster in enumerate(boosters):
            try:
                compile_filter(booster.filter)
            except InvalidRequest as error:
                raise InvalidRequest(f"booster.{place}.{error.message}", f"booster.{place}.filter") from error
        return tuple((booster.filter, booster.factor) for booster in boosters)

    def _history(self, request: RankingRequest, view: CatalogueView) -> History:
        """What was done to items of the catalogue: of others nothing is known that could count."""
        if not request.history:
            return NO_HISTORY
        limit = self._limits.max_history
        if len(request.history) > limit:
            raise InvalidRequest(f"history: {len(request.history)} events, at most {limit}", "history")
        now = self._clock.now() if request.as_of is None else request.as_of
        latest = now + (MAX_AHEAD_S if request.as_of is None else 0.0)
        for place, event in enumerate(request.history):
            if event.timestamp is not None and event.timestamp > latest:
                raise InvalidRequest(
                    f"timestamp={event.timestamp:.0f}: must be at most {latest:.0f}", f"history.{place}.timestamp"
                )
        return _history_of([event for event in request.history if view.row_of_id(event.item_id) is not None], view, now)

    def _main_domain(self, view: CatalogueView) -> str:
        """The domain most items are of, which decides whether seen items are left out when a request names none."""
        if self._domain_of is None or self._domain_of[0] != view.version:
            self._domain_of = (view.version, view.main_domain())
        return self._domain_of[1]


def check_texts(generate: Generate, items: int, most: int) -> None:
    """Raises `InvalidRequest` for more texts of one request than `most`."""
    texts = items * generate.candidates
    if texts > most:
        message = f"generate.candidates={generate.candidates}: {texts} texts for {items} items, at most {most}"
        raise InvalidRequest(message, "generate.candidates")


def leaves_traces(request: RankingRequest) -> bool:
    """Whether impressions and snapshots may be stored: a person looks, and they let us keep something about them."""
    return request.as_of is None and not request.history


def _keys(item_ids: Sequence[str], view: CatalogueView) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Of those that the view has."""
    rows = (view.row_of_id(item_id) for item_id in item_ids)
    return np.array([view.keys[row] for row in rows if row is not None], dtype=np.int64)


def _history_of(told: Sequence[HistoryEvent], view: CatalogueView, now: float) -> History:
    return History(
        items=_keys([event.item_id for event in told], view),
        types=np.array([EVENT_CODES[event.type] for event in told], dtype=np.int8),
        at=np.array([now if event.timestamp is None else event.timestamp for event in told], dtype=np.float64),
        values=np.array([math.nan if event.value is None else event.value for event in told], dtype=np.float64),
    )

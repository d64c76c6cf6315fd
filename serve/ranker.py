"""Stages 2 to 4 on a batch of users: interest lookup, candidate retrieval, reranking; one call per stage per batch."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Longs, Tensors, UserRequest, ragged_offsets
from interest.errors import AttuneError
from ranking.batch import CandidateRequest, ListWishes, RankedBatch
from ranking.boosting import Boosts
from serve.batcher import Batcher
from serve.metrics import BATCH_SIZE, stage_timer
from serve.oip.statistics import Execution, Failure, ModelStatistics

Stage = Callable[[Tensors], Awaitable[Tensors]]


@dataclass(frozen=True, slots=True)
class History:
    """What a user did, told with the request and stored nowhere; n rows."""

    items: Longs  # item keys
    types: npt.NDArray[np.int8]  # interest.events.EVENT_CODES
    at: Doubles  # unix seconds
    values: Doubles  # NaN where there is none


NO_HISTORY = History(np.zeros(0, np.int64), np.zeros(0, np.int8), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Exploration:
    """How one request explores; see `ranking.exploration`."""

    epsilon: float
    first_place: int  # from 0
    depth: int
    seed: int


@dataclass(frozen=True, slots=True)
class Query:
    """What one request asks of the batch stages; item keys, not ids."""

    user_id: str  # "": nobody we know
    count: int
    now: float  # unix seconds, quantised
    as_of: float  # NaN: live
    exclude_seen: bool
    exclude: Longs
    domain: str = ""
    language: str = ""
    filter: str = ""
    boosts: tuple[tuple[str, float], ...] = ()  # (filter, factor)
    given: Longs | None = None  # the candidates themselves, instead of the retriever's
    history: History = NO_HISTORY
    diversity: float = 0.0
    calibration: float = 0.0
    exploration: Exploration | None = None  # None: this request never explores
    reply_id: str = ""
    expires: float = math.inf  # perf_counter seconds: nobody waits for the answer after it
    asked: float = field(default_factory=time.perf_counter, compare=False)  # perf_counter seconds


@dataclass(frozen=True, slots=True)
class Ranking:
    """The batch stages' answer to one query, best item first."""

    item_keys: Longs
    scores: np.ndarray[tuple[int], np.dtype[np.float32]]
    parts: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    propensity: Doubles  # of each item at its place, given those above it
    interests: tuple[tuple[str, str, float, bool], ...]  # (kind, name, weight, declared), heaviest first
    known: bool  # whether anything is known of the user, declarations included
    timings_ms: dict[str, float]
    text: Doubles = field(default_factory=lambda: np.zeros(0))  # part of the first scores that their texts have added

    def only(self, kept: npt.NDArray[np.bool_]) -> "Ranking":
        """The ranking without the items whose place in `kept` is False."""
        return replace(
            self,
            item_keys=self.item_keys[kept],
            scores=self.scores[kept],
            parts=self.parts[kept],
            propensity=self.propensity[kept],
        )


class StageFailed(AttuneError):
    """A stage raised; `stage` says which, the message why."""

    code = "stage_failed"

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.args = (stage, message)
        self.stage = stage


class BatchRanker:
    """Coalesces concurrent queries and sends each batch through the three stages."""

    def __init__(
        self,
        stages: Mapping[str, Stage],
        release: str,
        candidates: int,
        batch_size: int,
        in_flight: int,
        statistics: Mapping[str, ModelStatistics],
    ) -> None:
        """`statistics`: of the three stages, which count every query as a request to each of them."""
        self._statistics = statistics
        self._stages = stages
        self._release = release
        self._candidates = candidates
        self._batcher: Batcher[Query, Ranking] = Batcher(self.rank_batch, batch_size, in_flight)

    async def rank(self, query: Query) -> Ranking:
        """Raises `StageFailed`; leaving early harms nobody else in the batch."""
        return await self._batcher.submit(query)

    async def close(self) -> None:
        await self._batcher.close()

    async def rank_batch(self, queries: Sequence[Query]) -> list[Ranking]:
        """All queries in one pass; every stage sees the same users in the same order. Raises `StageFailed`.

        A batch lives as long as the most patient of its queries: a stage that hangs must not hold its slot for ever.
        """
        BATCH_SIZE.observe(len(queries))
        expires = max(query.expires for query in queries)
        marks = [time.perf_counter()]
        queued_s = sum(marks[0] - query.asked for query in queries)
        release = np.array([self._release], dtype=object)
        count = len(queries)
        found = await self._call(
            "interest", count, {"release": release, **user_tensors(queries)}, marks, expires, queued_s
        )
        users = {name: array for name, array in found.items() if not name.startswith("reply_")}
        boosts = _boosts(queries).to_tensors()
        requests = {**_requests(queries, self._candidates).to_tensors(), **boosts}
        candidates = await self._call("retriever", count, {"release": release, **users, **requests}, marks, expires)
        wanted = np.array([query.count for query in queries], dtype=np.int64)
        wishes = _wishes(queries).to_tensors()
        listed = {"release": release, **users, **candidates, **boosts, **wishes, "wanted": wanted}
        ranked = await self._call("reranker", count, listed, marks, expires)
        timings = {
            name: round(1000 * (after - before), 3)
            for name, (before, after) in zip(("interest", "retrieve", "rank"), pairwise(marks), strict=True)
        }
        return _split(queries, found, RankedBatch.from_tensors(ranked), timings)

    async def _call(
        self, stage: str, count: int, tensors: Tensors, marks: list[float], expires: float, queued_s: float = 0.0
    ) -> Tensors:
        try:
            with stage_timer(stage):
                async with asyncio.timeout(expires - time.perf_counter()):
                    answer = await self._stages[stage](tensors)
        except TimeoutError as error:
            self._statistics[stage].failed(Failure.OTHER, count)
            raise StageFailed(stage, "no answer while anyone waited for it") from error
        except Exception as error:  # every kind of failure of a stage is one kind of failure to its callers
            self._statistics[stage].failed(Failure.BACKEND, count)
            message = error.message if isinstance(error, AttuneError) else f"{type(error).__name__}: {error}"
            raise StageFailed(stage, message) from error
        marks.append(time.perf_counter())
        self._statistics[stage].executed(Execution(count, count, queued_s, 0.0, marks[-1] - marks[-2], 0.0))
        return answer


def user_tensors(queries: Sequence[Query]) -> Tensors:
    """What the interest stage is asked for these queries."""
    told = [query.history for query in queries]
    return UserRequest(
        user_id=np.array([query.user_id for query in queries], dtype=object),
        now=np.array([query.now for query in queries], dtype=np.float64),
        as_of=np.array([query.as_of for query in queries], dtype=np.float64),
        history_offsets=ragged_offsets([len(history.items) for history in told]),
        history_item=np.concatenate([history.items for history in told]),
        history_type=np.concatenate([history.types for history in told]),
        history_at=np.concatenate([history.at for history in told]),
        history_value=np.concatenate([history.values for history in told]),
    ).to_tensors()


def _requests(queries: Sequence[Query], candidates: int) -> CandidateRequest:
    given = [query.exclude[:0] if query.given is None else query.given for query in queries]
    return CandidateRequest(
        count=np.array([max(candidates, query.count) for query in queries], dtype=np.int64),
        created_until=np.array([math.inf if math.isnan(query.as_of) else query.as_of for query in queries]),
        exclude_seen=np.array([query.exclude_seen for query in queries], dtype=np.bool_),
        exclude_offsets=ragged_offsets([len(query.exclude) for query in queries]),
        exclude_item=np.concatenate([query.exclude for query in queries]).astype(np.int64),
        domain=np.array([query.domain for query in queries], dtype=object),
        language=np.array([query.language for query in queries], dtype=object),
        filter=np.array([query.filter for query in queries], dtype=object),
        given=np.array([query.given is not None for query in queries], dtype=np.bool_),
        given_offsets=ragged_offsets([len(keys) for keys in given]),
        given_item=np.concatenate(given).astype(np.int64),
    )


def _boosts(queries: Sequence[Query]) -> Boosts:
    every = [boost for query in queries for boost in query.boosts]
    return Boosts(
        boost_offsets=ragged_offsets([len(query.boosts) for query in queries]),
        boost_filter=np.array([expression for expression, _ in every], dtype=object),
        boost_factor=np.array([factor for _, factor in every], dtype=np.float64),
    )


def _wishes(queries: Sequence[Query]) -> ListWishes:
    exploring = [query.exploration for query in queries]
    return ListWishes(
        diversity=np.array([query.diversity for query in queries], dtype=np.float64),
        calibration=np.array([query.calibration for query in queries], dtype=np.float64),
        explore_epsilon=np.array([e.epsilon if e else 0.0 for e in exploring], dtype=np.float64),
        explore_from=np.array([e.first_place if e else 0 for e in exploring], dtype=np.int64),
        explore_depth=np.array([e.depth if e else 0 for e in exploring], dtype=np.int64),
        explore_seed=np.array([e.seed if e else 0 for e in exploring], dtype=np.uint64),
    )


def _split(queries: Sequence[Query], found: Tensors, ranked: RankedBatch, timings: dict[str, float]) -> list[Ranking]:
    offsets = ranked.ranked_offsets
    return [
        Ranking(
            item_keys=ranked.ranked_item[start:stop],
            scores=ranked.ranked_score[start:stop],
            parts=ranked.ranked_parts[start:stop],
            propensity=ranked.ranked_propensity[start:stop],
            interests=found["reply_interests"][row],
            known=bool(found["reply_known"][row]),
            timings_ms=timings,
        )
        for row, (start, stop) in enumerate(pairwise(offsets))
    ]

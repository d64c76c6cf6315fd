"""The stages as models of the protocol: what each takes and gives, and how that becomes the stage's own arrays.

What the interest model gives, the retriever takes; what both give, the reranker takes. The three in a row are the
ensemble `recommend` without its checks and its log.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from interest.batch import Longs, Tensors, UserBatch, UserRequest, ragged_offsets
from interest.catalogue import Catalogue
from interest.clock import Clock
from ranking.batch import CandidateBatch, CandidateRequest, RankedBatch, plain_wishes
from ranking.boosting import Boosts
from ranking.filters import compile_filter
from serve.oip.datatypes import texts
from serve.oip.errors import InvalidInput
from serve.oip.model_config import DynamicBatching, ModelConfig
from serve.oip.ragged import padded, unpadded
from serve.oip.stage_arrays import (
    RAGGED,
    USER_TYPES,
    candidate_inputs,
    candidate_outputs,
    column,
    tensor,
    user_batch,
    user_inputs,
    user_outputs,
)
from serve.ranker import Stage

BACKEND = "attune"
BATCHING = DynamicBatching(priority_levels=3, default_priority_level=2)
Lengths = Mapping[str, tuple[str, ...]]
NO_LENGTHS: Lengths = {}


class ServedModel(Protocol):
    """One model of the protocol, whatever is behind it. `lengths`: see `serve.oip.ragged.trimmed`."""

    lengths: ClassVar[Lengths]

    @property
    def config(self) -> ModelConfig: ...

    async def infer(self, tensors: Tensors) -> Tensors:
        """One batch that fits the config. Optional inputs may be missing."""
        ...


@dataclass(frozen=True, slots=True)
class EncoderModel:
    """Texts to unit vectors."""

    lengths: ClassVar[Lengths] = NO_LENGTHS

    stage: Stage
    dims: int
    max_batch_size: int

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(
            name="encoder",
            backend=BACKEND,
            max_batch_size=self.max_batch_size,
            input=(tensor("text", "STRING", 1),),
            output=(tensor("embedding", "FP32", self.dims), tensor("tokens", "INT64", 1)),
            dynamic_batching=BATCHING,
        )

    async def infer(self, tensors: Tensors) -> Tensors:
        words = np.array(texts("text", tensors["text"]), dtype=object)
        found = await self.stage({"text": words})
        return {"embedding": found["embedding"], "tokens": found["tokens"].reshape(-1, 1)}


@dataclass(frozen=True, slots=True)
class InterestModelOfStage:
    """User ids to what is known of them, in the arrays that retriever and reranker take."""

    lengths: ClassVar[Lengths] = {
        **{f"{kind}_length": tuple(name for name in USER_TYPES if name.split("_")[0] == kind) for kind in RAGGED},
        "interest_length": ("interest_kind", "interest_name", "interest_weight"),
    }

    stage: Stage
    clock: Clock
    release: str
    rank: int
    content: tuple[int, int]  # interest vectors a user, their size
    max_batch_size: int
    past: bool  # whether `as_of` is allowed

    @property
    def config(self) -> ModelConfig:
        readable = (tensor("interest_kind", "STRING", -1), tensor("interest_name", "STRING", -1))
        return ModelConfig(
            name="interest",
            backend=BACKEND,
            max_batch_size=self.max_batch_size,
            input=(tensor("user_id", "STRING", 1), tensor("as_of", "FP64", 1, optional=True)),
            output=(
                *user_inputs(self.rank, self.content),
                tensor("interest_length", "INT64", 1),
                *readable,
                tensor("interest_weight", "FP64", -1),
                tensor("events", "INT64", 1),
                tensor("known", "BOOL", 1),
            ),
            dynamic_batching=BATCHING,
        )

    async def infer(self, tensors: Tensors) -> Tensors:
        users = texts("user_id", tensors["user_id"])
        rows = len(users)
        as_of = column(tensors, "as_of", rows, math.nan)
        if not self.past and not np.isnan(as_of).all():
            raise InvalidInput("inference input 'as_of': accepted only when evaluation is enabled")
        asked = UserRequest(
            user_id=np.array(users, dtype=object),
            now=np.where(np.isnan(as_of), self.clock.quantised(self.clock.now()), as_of),
            as_of=as_of,
            history_offsets=np.zeros(rows + 1, np.int64),
            history_item=np.zeros(0, np.int64),
            history_type=np.zeros(0, np.int8),
            history_at=np.zeros(0),
            history_value=np.zeros(0),
        )
        found = await self.stage({"release": np.array([self.release], dtype=object), **asked.to_tensors()})
        interests = found["reply_interests"]
        offsets = ragged_offsets([len(row) for row in interests])
        names = np.array([[kind, name] for row in interests for kind, name, _, _ in row], dtype=object).reshape(-1, 2)
        weights = np.array([weight for row in interests for _, _, weight, _ in row], dtype=np.float64)
        return {
            **user_outputs(UserBatch.from_tensors(found)),
            "interest_length": np.diff(offsets).reshape(-1, 1),
            "interest_kind": padded(names[:, 0], offsets, ""),
            "interest_name": padded(names[:, 1], offsets, ""),
            "interest_weight": padded(weights, offsets, 0.0),
            "events": found["reply_events"].reshape(-1, 1),
            "known": found["reply_known"].reshape(-1, 1),
        }


@dataclass(frozen=True, slots=True)
class RetrieverModel:
    """Users to candidates with a score from each source; NaN where a source did not find the item."""

    lengths: ClassVar[Lengths] = {"candidate_length": ("candidate_item", "candidate_score")}

    stage: Stage
    release: str
    rank: int
    content: tuple[int, int]
    max_batch_size: int
    candidates: int

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(
            name="retriever",
            backend=BACKEND,
            max_batch_size=self.max_batch_size,
            input=(
                *user_inputs(self.rank, self.content),
                tensor("count", "INT64", 1, optional=True),
                tensor("exclude_seen", "BOOL", 1, optional=True),
                *(tensor(name, "STRING", 1, optional=True) for name in ("domain", "language", "filter")),
            ),
            output=candidate_inputs(),
            dynamic_batching=BATCHING,
        )

    async def infer(self, tensors: Tensors) -> Tensors:
        users = user_batch(tensors)
        rows = len(users.now)
        filters = texts("filter", column(tensors, "filter", rows, ""))
        for expression in set(filters) - {""}:
            compile_filter(expression)
        nothing, no_rows = np.zeros(0, np.int64), np.zeros(rows + 1, np.int64)
        request = CandidateRequest(
            count=np.maximum(column(tensors, "count", rows, self.candidates), 1).astype(np.int64),
            created_until=np.full(rows, np.inf),
            exclude_seen=column(tensors, "exclude_seen", rows, False).astype(np.bool_),
            exclude_offsets=no_rows,
            exclude_item=nothing,
            domain=np.array(texts("domain", column(tensors, "domain", rows, "")), dtype=object),
            language=np.array(texts("language", column(tensors, "language", rows, "")), dtype=object),
            filter=np.array(filters, dtype=object),
            given=np.zeros(rows, np.bool_),
            given_offsets=no_rows,
            given_item=nothing,
        )
        found = await self.stage({**_stamped(self.release, users, rows), **request.to_tensors()})
        return candidate_outputs(CandidateBatch.from_tensors(found))


@dataclass(frozen=True, slots=True)
class RerankerModel:
    """Users and candidates to a list, best first."""

    lengths: ClassVar[Lengths] = {"ranked_length": ("ranked_item", "ranked_id", "ranked_score")}

    stage: Stage
    catalogue: Catalogue
    release: str
    rank: int
    content: tuple[int, int]
    max_batch_size: int

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(
            name="reranker",
            backend=BACKEND,
            max_batch_size=self.max_batch_size,
            input=(
                *user_inputs(self.rank, self.content),
                *candidate_inputs(),
                tensor("count", "INT64", 1, optional=True),
            ),
            output=(
                tensor("ranked_length", "INT64", 1),
                tensor("ranked_item", "INT64", -1),
                tensor("ranked_id", "STRING", -1),
                tensor("ranked_score", "FP32", -1),
            ),
            dynamic_batching=BATCHING,
        )

    async def infer(self, tensors: Tensors) -> Tensors:
        users = user_batch(tensors)
        rows = len(users.now)
        items, offsets = unpadded(
            "candidate_item", tensors["candidate_item"], tensors["candidate_length"].reshape(rows)
        )
        self._require_known(items)
        scores, _ = unpadded("candidate_score", tensors["candidate_score"], tensors["candidate_length"].reshape(rows))
        candidates = CandidateBatch(offsets, items, scores)
        wanted = np.maximum(column(tensors, "count", rows, np.iinfo(np.int64).max), 1).astype(np.int64)
        listed = {**candidates.to_tensors(), **plain_wishes(rows).to_tensors(), "wanted": wanted}
        ranked = RankedBatch.from_tensors(await self.stage({**_stamped(self.release, users, rows), **listed}))
        view = self.catalogue.view()
        ids = np.array([view.ids[row] for row in view.rows(ranked.ranked_item)], dtype=object)
        return {
            "ranked_length": np.diff(ranked.ranked_offsets).reshape(-1, 1),
            "ranked_item": padded(ranked.ranked_item, ranked.ranked_offsets, -1),
            "ranked_id": padded(ids, ranked.ranked_offsets, ""),
            "ranked_score": padded(ranked.ranked_score, ranked.ranked_offsets, np.nan),
        }

    def _require_known(self, items: Longs) -> None:
        unknown = items[self.catalogue.view().rows(items) < 0]
        if len(unknown):
            raise InvalidInput(f"inference input 'candidate_item': {int(unknown[0])} is the key of no item")


def _stamped(release: str, users: UserBatch, rows: int) -> Tensors:
    empty = Boosts(np.zeros(rows + 1, np.int64), np.zeros(0, dtype=object), np.zeros(0))
    return {"release": np.array([release], dtype=object), **users.to_tensors(), **empty.to_tensors()}

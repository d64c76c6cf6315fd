"""The stages as models of the protocol: what each takes and gives, and how that becomes the stage's own arrays.

What the interest model gives, the retriever takes; what both give, the reranker takes. The three in a row are the
ensemble `recommend` without its checks and its log.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from interest.batch import Longs, Tensors, UserBatch, UserRequest, ragged_offsets
from interest.catalogue import Catalogue
from interest.clock import Clock
from ranking.batch import CandidateBatch, CandidateRequest, RankedBatch, plain_wishes
from ranking.boosting import Boosts
from ranking.filters import compile_filter
from ranking.sources import SCORES
from serve.oip.datatypes import Array, texts
from serve.oip.errors import InvalidInput
from serve.oip.model_config import DynamicBatching, ModelConfig, TensorConfig
from serve.oip.ragged import padded, unpadded
from serve.ranker import Stage

BACKEND = "attune"
RAGGED = ("behaviour", "facet")
USER_DIMS: Mapping[str, tuple[int, ...]] = {"behaviour_decayed": (-1, 3)}


class ServedModel(Protocol):
    """One model of the protocol, whatever is behind it."""

    @property
    def config(self) -> ModelConfig: ...

    async def infer(self, tensors: Tensors) -> Tensors:
        """One batch that fits the config. Optional inputs may be missing."""
        ...


def tensor(name: str, data_type: str, *dims: int, optional: bool = False) -> TensorConfig:
    """One line of a config."""
    return TensorConfig(name=name, data_type=f"TYPE_{data_type}", dims=dims, optional=optional)


def column(tensors: Tensors, name: str, rows: int, default: Any) -> Array:
    """An input of dims [1] as one value a row; the default where it is missing."""
    if name in tensors:
        return tensors[name].reshape(rows)
    return np.full(rows, default, dtype=object if isinstance(default, str) else None)


@dataclass(frozen=True, slots=True)
class EncoderModel:
    """Texts to unit vectors."""

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
            dynamic_batching=DynamicBatching(),
        )

    async def infer(self, tensors: Tensors) -> Tensors:
        words = np.array(texts("text", tensors["text"]), dtype=object)
        found = await self.stage({"text": words})
        return {"embedding": found["embedding"], "tokens": found["tokens"].reshape(-1, 1)}


@dataclass(frozen=True, slots=True)
class InterestModelOfStage:
    """User ids to what is known of them, in the arrays that retriever and reranker take."""

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
                *readable,
                tensor("interest_weight", "FP64", -1),
                tensor("events", "INT64", 1),
                tensor("known", "BOOL", 1),
            ),
            dynamic_batching=DynamicBatching(),
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
            "interest_kind": padded(names[:, 0], offsets, ""),
            "interest_name": padded(names[:, 1], offsets, ""),
            "interest_weight": padded(weights, offsets, 0.0),
            "events": found["reply_events"].reshape(-1, 1),
            "known": found["reply_known"].reshape(-1, 1),
        }


@dataclass(frozen=True, slots=True)
class RetrieverModel:
    """Users to candidates with a score from each source; NaN where a source did not find the item."""

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
            dynamic_batching=DynamicBatching(),
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
            dynamic_batching=DynamicBatching(),
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


def user_inputs(rank: int, content: tuple[int, int]) -> tuple[TensorConfig, ...]:
    """The tensors of `UserBatch`, ragged ones padded, with their lengths."""
    dims: dict[str, tuple[int, ...]] = {
        "now": (1,),
        **dict.fromkeys(("vector", "recent_vector", "session_vector"), (rank,)),
        "content": content,
    }
    found = [tensor(f"{name}_length", "INT64", 1) for name in RAGGED]
    for name, datatype in _user_types().items():
        found.append(tensor(name, datatype, *dims.get(name, USER_DIMS.get(name, (-1,)))))
    return tuple(found)


def user_outputs(users: UserBatch) -> Tensors:
    """The same tensors of a batch."""
    ragged = {f"{name}_offsets": name for name in RAGGED}
    found: Tensors = {}
    for name, values in users.to_tensors().items():
        if name in ragged:
            found[f"{ragged[name]}_length"] = np.diff(values).reshape(-1, 1)
        elif (kind := name.split("_")[0]) in RAGGED:
            found[name] = padded(values, getattr(users, f"{kind}_offsets"), 0)
        else:
            found[name] = values.reshape(-1, 1) if values.ndim == 1 else values
    return found


def user_batch(tensors: Tensors) -> UserBatch:
    """Back again. Raises `InvalidInput` for lengths that do not fit."""
    rows = len(tensors["now"])
    found: Tensors = {}
    for name in _user_types():
        if (kind := name.split("_")[0]) in RAGGED:
            lengths = tensors[f"{kind}_length"].reshape(rows)
            found[name], found[f"{kind}_offsets"] = unpadded(name, tensors[name], lengths)
        else:
            found[name] = tensors[name]
    return UserBatch.from_tensors({**found, "now": found["now"].reshape(rows)})


def candidate_inputs() -> tuple[TensorConfig, ...]:
    return (
        tensor("candidate_length", "INT64", 1),
        tensor("candidate_item", "INT64", -1),
        tensor("candidate_score", "FP32", -1, len(SCORES)),
    )


def candidate_outputs(found: CandidateBatch) -> Tensors:
    offsets = found.candidate_offsets
    return {
        "candidate_length": np.diff(offsets).reshape(-1, 1),
        "candidate_item": padded(found.candidate_item, offsets, -1),
        "candidate_score": padded(found.candidate_score, offsets, np.nan),
    }


def _user_types() -> dict[str, str]:
    """Datatype of each field of `UserBatch` that is no offset, in its order."""
    return {field.name: _FIELD_TYPES[field.name] for field in fields(UserBatch) if not field.name.endswith("_offsets")}


_FIELD_TYPES = {
    **dict.fromkeys(("now", "behaviour_value", "behaviour_first_at", "behaviour_last_at", "behaviour_decayed"), "FP64"),
    **dict.fromkeys(("vector", "recent_vector", "session_vector", "content", "facet_weight"), "FP32"),
    "behaviour_item": "INT64",
    "behaviour_type": "INT8",
    "behaviour_count": "INT32",
    "facet_hash": "UINT64",
}


def _stamped(release: str, users: UserBatch, rows: int) -> Tensors:
    empty = Boosts(np.zeros(rows + 1, np.int64), np.zeros(0, dtype=object), np.zeros(0))
    return {"release": np.array([release], dtype=object), **users.to_tensors(), **empty.to_tensors()}

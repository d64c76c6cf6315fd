"""The pipeline and the language model as models of the protocol."""

import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from interest.batch import Tensors
from serve.completions import Completions
from serve.generation.completion import Sampling
from serve.generation.raw import RawRequest
from serve.oip.datatypes import texts
from serve.oip.errors import InvalidInput
from serve.oip.model_config import EnsembleScheduling, EnsembleStep, ModelConfig, TransactionPolicy
from serve.oip.stage_arrays import column, tensor
from serve.oip.stage_models import BATCHING, NO_LENGTHS, Lengths
from serve.pipeline import Chosen, Pipeline
from serve.schema import Language, RecommendationRequest

DEFAULT_COUNT, DEFAULT_MAX_TOKENS = 10, 16


@dataclass(frozen=True, slots=True)
class RecommendModel:
    """The whole pipeline: each row is a request of its own, which travels in the pipeline's batches and is logged."""

    lengths: ClassVar[Lengths] = {"item_length": ("item_id", "score")}

    pipeline: Pipeline
    max_batch_size: int

    @property
    def config(self) -> ModelConfig:
        steps = tuple(EnsembleStep(model_name=name) for name in ("interest", "retriever", "reranker"))
        return ModelConfig(
            name="recommend",
            platform="ensemble",
            max_batch_size=self.max_batch_size,
            input=(
                tensor("user_id", "STRING", 1),
                tensor("count", "INT64", 1, optional=True),
                tensor("exclude_seen", "BOOL", 1, optional=True),
                tensor("as_of", "FP64", 1, optional=True),
                *(tensor(name, "STRING", 1, optional=True) for name in ("domain", "language", "filter")),
            ),
            output=(
                tensor("item_id", "STRING", -1),
                tensor("score", "FP32", -1),
                tensor("item_length", "INT64", 1),
                tensor("tier", "STRING", 1),
                tensor("recommendation_id", "STRING", 1),
            ),
            dynamic_batching=BATCHING,
            ensemble_scheduling=EnsembleScheduling(step=steps),
        )

    async def infer(self, tensors: Tensors) -> Tensors:
        return _lists(await self.pipeline.choose_all(_requests(tensors)))


def _requests(tensors: Tensors) -> list[RecommendationRequest]:
    users = texts("user_id", tensors["user_id"])
    rows = len(users)
    wanted = {name: texts(name, column(tensors, name, rows, "")) for name in ("domain", "language", "filter")}
    counts = column(tensors, "count", rows, DEFAULT_COUNT).tolist()
    seen = column(tensors, "exclude_seen", rows, False).tolist() if "exclude_seen" in tensors else [None] * rows
    as_of = column(tensors, "as_of", rows, math.nan).tolist()
    found = []
    for row, user in enumerate(users):
        if not user or counts[row] < 1:
            raise InvalidInput(
                f"row {row}: user_id {user!r} and count {counts[row]}: an id and at least 1 are expected"
            )
        found.append(
            RecommendationRequest(
                user_id=user,
                count=counts[row],
                domain=wanted["domain"][row],
                language=_language(wanted["language"][row]),
                filter=wanted["filter"][row],
                exclude_seen=seen[row],
                as_of=None if math.isnan(as_of[row]) else as_of[row],
            )
        )
    return found


def _language(name: str) -> Language | None:
    if name not in ("", "en", "zh"):
        raise InvalidInput(f"inference input 'language': {name!r} is not en or zh")
    return name or None  # type: ignore[return-value]  # narrowed above


def _lists(chosen: Sequence[Chosen]) -> Tensors:
    """Lists of one batch, padded with "" and NaN to the longest."""
    rows, longest = len(chosen), max(len(one.items) for one in chosen)
    ids = np.full((rows, longest), "", dtype=object)
    scores = np.full((rows, longest), np.nan, dtype=np.float32)
    for row, one in enumerate(chosen):
        count = len(one.items)
        ids[row, :count] = [item.item_id for item in one.items]
        scores[row, :count] = one.served.ranking.scores[:count]
    return {
        "item_id": ids,
        "score": scores,
        "item_length": np.array([[len(one.items)] for one in chosen], dtype=np.int64),
        "tier": np.array([[one.served.tier] for one in chosen], dtype=object),
        "recommendation_id": np.array([[one.reply_id] for one in chosen], dtype=object),
    }


@dataclass(frozen=True, slots=True)
class GeneratorModel:
    """The language model under the names of Triton's vLLM backend; vLLM itself batches continuously."""

    lengths: ClassVar[Lengths] = NO_LENGTHS

    completions: Completions

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(
            name="generator",
            backend="vllm",
            max_batch_size=0,
            input=(
                tensor("text_input", "STRING", 1),
                tensor("stream", "BOOL", 1, optional=True),
                tensor("max_tokens", "INT32", 1, optional=True),
                tensor("temperature", "FP32", 1, optional=True),
                tensor("exclude_input_in_output", "BOOL", 1, optional=True),
            ),
            output=(tensor("text_output", "STRING", 1),),
            model_transaction_policy=TransactionPolicy(decoupled=True),
        )

    async def infer(self, tensors: Tensors) -> Tensors:
        (answer,) = await self.completions.whole([_completion(tensors)], None)
        before = (
            "" if _flag(tensors, "exclude_input_in_output", True) else texts("text_input", tensors["text_input"])[0]
        )
        return _text(before + answer.text)

    async def stream(self, tensors: Tensors) -> AsyncGenerator[Tensors, None]:
        """The text as it grows, what is new each time."""
        if not _flag(tensors, "stream", True):
            yield await self.infer(tensors)
            return
        async with aclosing(self.completions.streamed([_completion(tensors)], None)) as pieces:
            async for _, piece in pieces:
                yield _text(piece.text)


def _completion(tensors: Tensors) -> RawRequest:
    (prompt,) = texts("text_input", tensors["text_input"])
    most = int(_scalar(tensors, "max_tokens", DEFAULT_MAX_TOKENS))
    heat = float(_scalar(tensors, "temperature", 0.0))
    if not most >= 1 or not 0 <= heat <= 2:
        raise InvalidInput(f"max_tokens {most}, temperature {heat}: at least 1, and 0 to 2 are expected")
    return RawRequest(prompt=prompt, sampling=Sampling(max_tokens=most, temperature=heat))


def _scalar(tensors: Tensors, name: str, default: float) -> Any:
    return tensors[name].ravel()[0].item() if name in tensors else default


def _flag(tensors: Tensors, name: str, default: bool) -> bool:
    return bool(_scalar(tensors, name, default))


def _text(text: str) -> Tensors:
    return {"text_output": np.array([text], dtype=object)}

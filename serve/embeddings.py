"""Embeddings and reranking of any texts by the encoder stage of the live release."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Floats, Longs
from interest.errors import DeadlineExceeded, InvalidRequest
from serve.admission import Deadline
from serve.config import Limits
from serve.metrics import stage_timer
from serve.ranker import Stage

ENCODED_AT_ONCE = 64  # texts: the encoder's one thread is for new items, too


@dataclass(frozen=True, slots=True)
class Embedded:
    """`vectors` float32 [n, dims], unit rows; `tokens` that the encoder has read of all texts."""

    vectors: Floats
    tokens: int


@dataclass(frozen=True, slots=True)
class Relevance:
    """`order` int64 [n]: documents, most relevant first; `scores` float32 [n] of the documents as they were given."""

    order: Longs
    scores: Floats
    tokens: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The encoder to callers. Errors: `InvalidRequest` naming the text that is blank, `DeadlineExceeded`."""

    stage: Stage
    model: str
    limits: Limits

    async def embed(self, texts: Sequence[str], name: str, timeout_ms: int | None) -> Embedded:
        """`name` is what the caller calls the texts."""
        if len(texts) > self.limits.max_items:
            raise InvalidRequest(f"{name}: {len(texts)} texts, at most {self.limits.max_items}", name)
        for place, text in enumerate(texts):
            if not text.strip():
                raise InvalidRequest(f"{name}.{place}: a blank text has no direction", f"{name}.{place}")
        limits = self.limits
        deadline = Deadline(min(timeout_ms or limits.default_timeout_ms, limits.max_timeout_ms) / 1000)
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                return await encoded(self.stage, texts)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{name}: no vectors within {1000 * deadline.timeout_s:.0f} ms") from error

    async def rerank(self, query: str, documents: Sequence[str], timeout_ms: int | None) -> Relevance:
        """By the cosine between query and document, -1 to 1; of equal documents the earlier one first."""
        if not query.strip():
            raise InvalidRequest("query: a blank text has no direction", "query")
        embedded = await self.embed([*documents, query], "documents", timeout_ms)
        scores: Floats = embedded.vectors[:-1] @ embedded.vectors[-1]
        return Relevance(np.argsort(-scores, kind="stable").astype(np.int64), scores, embedded.tokens)


async def encoded(stage: Stage, texts: Sequence[str]) -> Embedded:
    """The texts in calls of bounded size, one after the other."""
    parts = []
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        with stage_timer("encoder"):
            parts.append(await stage({"text": np.array(texts[start : start + ENCODED_AT_ONCE], dtype=object)}))
    tokens = sum(int(part["tokens"].sum()) for part in parts)
    return Embedded(np.concatenate([part["embedding"] for part in parts]), tokens)

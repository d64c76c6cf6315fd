"""Raw completions at an ingress: sent to the generator stage in the caller's own context, under a deadline."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from interest.batch import Tensors
from interest.errors import AttuneError, DeadlineExceeded, InvalidRequest, NotReady
from serve.admission import Deadline, in_time
from serve.config import GenerationConfig, Limits
from serve.generation.adapters import names_for
from serve.generation.completion import Piece
from serve.generation.raw import RawRequest
from serve.metrics import TOKENS, stage_timer
from serve.model import Streaming
from serve.ranker import Stage
from serve.tenant import TENANT


@dataclass(frozen=True, slots=True)
class Completions:
    """The language model as it is, without items, users or checks. Leaving early stops the engine's work.

    Errors: `InvalidRequest` for what the engine refuses, `NotReady`, `DeadlineExceeded`.
    """

    stage: Stage
    streaming: Streaming
    config: GenerationConfig
    limits: Limits

    @property
    def model(self) -> str:
        """The model's name to callers: of a folder its last part, never the path."""
        name = self.config.engine.model
        return Path(name).name if Path(name).is_dir() else name

    @property
    def adapters(self) -> list[str]:
        """Further models that the caller of the request under way may name."""
        return names_for(self.config.adapters, TENANT.get())

    async def whole(self, requests: Sequence[RawRequest], timeout_ms: int | None) -> list[Piece]:
        """One whole answer a request, in order."""
        self._check(requests)
        deadline = self._deadline(timeout_ms)
        try:
            with stage_timer("generator"):
                async with asyncio.timeout(deadline.remaining_s()):
                    answer = await self.stage(_tensors(requests, deadline))
        except TimeoutError as error:
            raise _late(deadline) from error
        answers = [msgspec.json.decode(body, type=Piece) for body in answer["answer"]]
        _count(answers)
        return answers

    async def streamed(
        self, requests: Sequence[RawRequest], timeout_ms: int | None
    ) -> AsyncGenerator[tuple[int, Piece], None]:
        """(place of the request, what is new of its answer). Raises before the first piece what it can tell by then."""
        self._check(requests)
        deadline = self._deadline(timeout_ms)
        last: dict[int, Piece] = {}
        try:
            with stage_timer("generator"):
                async with aclosing(in_time(self.streaming(_tensors(requests, deadline)), deadline)) as messages:
                    async for parts in messages:
                        for row, body in parts:
                            last[row] = msgspec.json.decode(body, type=Piece)
                            yield row, last[row]
        except TimeoutError as error:
            raise _late(deadline) from error
        finally:
            _count(list(last.values()))
        if sum(piece.finish_reason is not None for piece in last.values()) < len(requests):
            if deadline.remaining_s() > 0:
                raise AttuneError("the language model ended without an answer")
            raise _late(deadline)

    def _check(self, requests: Sequence[RawRequest]) -> None:
        if not self.config.enabled:
            raise NotReady("generation: switched off in this server's config (generation.enabled)")
        if len(requests) > self.limits.max_count:
            raise InvalidRequest(f"prompt: {len(requests)} prompts, at most {self.limits.max_count}", "prompt")

    def _deadline(self, timeout_ms: int | None) -> Deadline:
        longest = self.config.completion_timeout_ms
        return Deadline(min(timeout_ms or longest, longest) / 1000)


def _tensors(requests: Sequence[RawRequest], deadline: Deadline) -> Tensors:
    return {
        "completion": np.array([msgspec.json.encode(request) for request in requests], dtype=object),
        "cache_salt": np.full(len(requests), TENANT.get(), dtype=object),
        "remaining_ms": np.full(len(requests), 1000 * deadline.remaining_s(), dtype=np.float64),
    }


def _late(deadline: Deadline) -> DeadlineExceeded:
    return DeadlineExceeded(f"completion: not finished within {1000 * deadline.timeout_s:.0f} ms")


def _count(answers: Sequence[Piece]) -> None:
    TOKENS.labels("prompt").inc(sum(answer.prompt_tokens for answer in answers))
    TOKENS.labels("completion").inc(sum(answer.completion_tokens for answer in answers))

"""An engine that keeps what the model said of each task, before any check; and one run of it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from serve.generation.completion import Adapter, Completion, EngineStats, Piece, Prompt, Sampling
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS, GeneratedText, Generator
from serve.generation.prompt import GenerationTask

DEADLINE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a generator: a text and the model's own answer a task ("" where it was not asked)."""

    texts: Sequence[GeneratedText]
    answers: Sequence[str]
    seconds: float
    prefix_queries: int  # prompt tokens looked up in the prefix cache
    prefix_hits: int

    @property
    def tokens(self) -> int:
        """Written by the model."""
        return sum(text.completion_tokens for text in self.texts)

    def cost(self) -> dict[str, float]:
        """For a results file."""
        return {
            "texts": len(self.texts),
            "seconds": round(self.seconds, 2),
            "texts_per_s": round(len(self.texts) / self.seconds, 2),
            "completion_tokens_per_s": round(self.tokens / self.seconds, 1),
            "completion_tokens": self.tokens,
            "prompt_tokens": sum(text.prompt_tokens for text in self.texts),
            "prefix_cache_hit_rate": round(self.prefix_hits / max(1, self.prefix_queries), 4),
        }


class RecordingEngine:
    """A `TextEngine` around a started one."""

    def __init__(self, engine: GenerationEngine) -> None:
        self.answers: dict[int, str] = {}  # by place of the task in the call
        self._engine = engine
        self._asked = 0

    @property
    def own_layout(self) -> bool:
        return self._engine.own_layout

    def prompt(self, task: GenerationTask) -> Prompt:
        place, self._asked = self._asked, self._asked + 1
        self.answers[place] = ""
        return [place, *self._engine.prompt(task)]

    async def generate(
        self,
        prompt: Prompt,
        request_id: str,
        max_tokens: int,
        cache_salt: str = "",
        adapter: Adapter | None = None,
        regex: str = "",
    ) -> Completion:
        assert isinstance(prompt, list)
        place, *ids = prompt
        answer = await self._engine.generate(ids, request_id, max_tokens, cache_salt, adapter, regex)
        self.answers[place] = answer.text
        return answer

    def stream(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> AsyncGenerator[Piece, None]:
        raise NotImplementedError("a benchmark reads whole answers")


async def run(engine: GenerationEngine, tasks: Sequence[GenerationTask]) -> Run:
    """All at once, as they come out of the engine. Raises `TimeoutError` when they do not end."""
    recording = RecordingEngine(engine)
    before, start = engine.stats(), time.perf_counter()
    texts = await Generator(recording).write(tasks, DEFAULT_MAX_TOKENS, DEADLINE_S)
    seconds, after = time.perf_counter() - start, await settled(engine)
    found = [text for text in texts if text is not None]
    if len(found) < len(tasks):
        raise TimeoutError(f"{len(tasks) - len(found)} of {len(tasks)} texts were not written")
    answers = [recording.answers[place] for place in range(len(tasks))]
    queries, hits = after.prefix_queries - before.prefix_queries, after.prefix_hits - before.prefix_hits
    return Run(found, answers, seconds, queries, hits)


async def settled(engine: GenerationEngine) -> EngineStats:
    """The engine's counters once they hold all that has ended: they come a step behind."""
    while engine.stats().running or engine.stats().waiting:  # noqa: ASYNC110  # the engine tells nobody
        await asyncio.sleep(0.01)
    return engine.stats()

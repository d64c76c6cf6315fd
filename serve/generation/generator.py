"""From tasks to texts: one engine request a task, all at once; each text is checked, and replaced when it fails."""

import asyncio
import itertools
import re
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from interest.errors import InvalidRequest
from serve.generation.engine import Completion
from serve.generation.grounding import Reason, check
from serve.generation.prompt import GenerationTask
from serve.generation.templates import template_text

DEFAULT_MAX_TOKENS = 160
_SPACES = re.compile(" {2,}")  # a title never holds two in a row
Source = Literal["model", "template"]


class TextEngine(Protocol):
    """What a generator needs of an engine; `GenerationEngine` is one."""

    @property
    def own_layout(self) -> bool: ...

    def prompt(self, task: GenerationTask) -> str: ...

    async def generate(self, prompt: str, request_id: str, max_tokens: int) -> Completion: ...


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text that is true to its item. `reason` says why the model's own text was refused; None when it was not."""

    text: str
    source: Source
    reason: Reason | None
    prompt_tokens: int
    completion_tokens: int


Observer = Callable[[GenerationTask, GeneratedText], None]


class Generator:
    """Writes texts with an engine and counts how they ended.

    `observe` is called once for each text; `counts` holds the same by "model", "template" or "unfinished", and the
    templates again by reason as "template:<reason>".
    """

    def __init__(
        self,
        engine: TextEngine,
        observe: Observer | None = None,
        known_facets: frozenset[str] = frozenset(),
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._engine = engine
        self._observe = observe
        self._known_facets = known_facets
        self._prefix = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()

    async def write(
        self, tasks: Sequence[GenerationTask], max_tokens: int = DEFAULT_MAX_TOKENS, deadline_s: float = 10.0
    ) -> list[GeneratedText | None]:
        """One text a task, in order; None for those unfinished after `deadline_s` seconds.

        When the caller is cancelled, or one request raises (`EngineDead`), every request of the call is dropped.
        """
        running = [asyncio.ensure_future(self._one(task, max_tokens)) for task in tasks]
        if not running:
            return []
        try:
            await asyncio.wait(running, timeout=deadline_s, return_when=asyncio.FIRST_EXCEPTION)
            texts = [future.result() if future.done() else None for future in running]
        finally:
            await _drop(running)
        for task, text in zip(tasks, texts, strict=True):
            self._count(task, text)
        return texts

    async def _one(self, task: GenerationTask, max_tokens: int) -> GeneratedText:
        request_id = f"text-{self._prefix}-{next(self._numbers)}"
        try:
            answer = await self._engine.generate(self._engine.prompt(task), request_id, max_tokens)
        except InvalidRequest:
            return GeneratedText(template_text(task), "template", Reason.TOO_LONG, 0, 0)
        text = _SPACES.sub(" ", answer.text).strip()
        reason = self._fault(text, answer.finished, task)
        source: Source = "model" if reason is None else "template"
        shown = text if reason is None else template_text(task)
        return GeneratedText(shown, source, reason, answer.prompt_tokens, answer.completion_tokens)

    def _fault(self, text: str, finished: bool, task: GenerationTask) -> Reason | None:
        if not finished:
            return Reason.UNFINISHED
        return check(text, task, closed=self._engine.own_layout, known_facets=self._known_facets).reason

    def _count(self, task: GenerationTask, text: GeneratedText | None) -> None:
        if text is None:
            self.counts["unfinished"] += 1
            return
        self.counts[text.source] += 1
        if text.reason is not None:
            self.counts[f"template:{text.reason}"] += 1
        if self._observe is not None:
            self._observe(task, text)


async def _drop(running: Sequence[asyncio.Future[GeneratedText]]) -> None:
    """Cancel what still runs and wait until the engine has let go of it."""
    for future in running:
        future.cancel()
    await asyncio.gather(*running, return_exceptions=True)

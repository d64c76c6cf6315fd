"""From tasks to texts: one engine request a task, all at once; each text is checked, and replaced when it fails."""

import asyncio
import itertools
import re
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Protocol

from interest.errors import InvalidRequest
from serve.generation.completion import Adapter, Completion, Piece, Prompt, Sampling
from serve.generation.constraint import title_pattern
from serve.generation.grounding import Reason, betrays_prompt, check
from serve.generation.merge import merged
from serve.generation.prompt import GenerationTask
from serve.generation.templates import template_text
from serve.generation.untrusted import ControlToken

DEFAULT_MAX_TOKENS = 160
_SPACES = re.compile(" {2,}")  # a title never holds two in a row
Source = Literal["model", "template"]


class TextEngine(Protocol):
    """What a generator needs of an engine; `GenerationEngine` is one."""

    @property
    def own_layout(self) -> bool: ...

    def prompt(self, task: GenerationTask) -> Prompt: ...

    async def generate(
        self,
        prompt: Prompt,
        request_id: str,
        max_tokens: int,
        cache_salt: str = "",
        adapter: Adapter | None = None,
        regex: str = "",
    ) -> Completion: ...

    def stream(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> AsyncGenerator[Piece, None]: ...


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text that is true to its item. `reason` says why the model's own text was refused; None when it was not."""

    text: str
    source: Source
    reason: Reason | None
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class TextPart:
    """Something new about one text: words as the model writes them, not checked yet, or at last the text itself.

    When its source is the model, `delta`s and text say the same; a template takes the place of what was said so far.
    """

    delta: str = ""
    text: GeneratedText | None = None


Observer = Callable[[GenerationTask, GeneratedText], None]
AdapterOf = Callable[[GenerationTask, str], Adapter | None]  # of a task and the caller's cache salt


class Generator:
    """Writes texts with an engine and counts how they ended.

    `observe` is called once for each text; `counts` holds the same by "model", "template" or "unfinished", and the
    templates again by reason as "template:<reason>". With `constrain_title` the engine writes no other title: it costs
    a grammar a text.
    """

    def __init__(
        self,
        engine: TextEngine,
        observe: Observer | None = None,
        known_facets: frozenset[str] = frozenset(),
        adapter_of: AdapterOf = lambda task, cache_salt: None,
        constrain_title: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._engine = engine
        self._observe = observe
        self._known_facets = known_facets
        self._adapter_of = adapter_of
        self._constrain_title = constrain_title
        self._prefix = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()

    async def write(
        self,
        tasks: Sequence[GenerationTask],
        max_tokens: int = DEFAULT_MAX_TOKENS,
        deadline_s: float = 10.0,
        cache_salt: str = "",
    ) -> list[GeneratedText | None]:
        """One text a task, in order; None for those unfinished after `deadline_s` seconds.

        Only requests of the same `cache_salt` share the engine's prefix cache.

        When the caller is cancelled, or one request raises (`EngineDead`), every request of the call is dropped.
        """
        running = [asyncio.ensure_future(self._one(task, max_tokens, cache_salt)) for task in tasks]
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

    async def stream(
        self,
        tasks: Sequence[GenerationTask],
        max_tokens: int = DEFAULT_MAX_TOKENS,
        deadline_s: float = 10.0,
        cache_salt: str = "",
    ) -> AsyncGenerator[list[tuple[int, TextPart]], None]:
        """`write` as it goes: (place of the task, what is new), everything new at once in one list.

        Each text that is finished within `deadline_s` ends with the part that holds it. Closing the iterator drops
        every request.
        """
        waiting = dict(enumerate(tasks))
        growing = merged([self._parts(task, max_tokens, cache_salt) for task in tasks], deadline_s)
        async with aclosing(growing):
            async for parts in growing:
                for place, part in parts:
                    if part.text is not None:
                        self._count(waiting.pop(place), part.text)
                yield _joined(parts)
        for task in waiting.values():
            self._count(task, None)

    async def _one(self, task: GenerationTask, max_tokens: int, cache_salt: str) -> GeneratedText:
        try:
            prompt = self._engine.prompt(task)
            adapter, pattern = self._adapter_of(task, cache_salt), self._pattern(task)
            answer = await self._engine.generate(
                prompt, self._request_id(), max_tokens, cache_salt, adapter=adapter, regex=pattern
            )
        except InvalidRequest as error:
            return _not_asked(task, error)
        return self._judged(task, answer)

    async def _parts(self, task: GenerationTask, max_tokens: int, cache_salt: str) -> AsyncGenerator[TextPart, None]:
        sampling = Sampling(max_tokens=max_tokens, temperature=0.0, regex=self._pattern(task))
        written, said, silent = "", "", False
        piece = Piece("", 0, 0, None)
        try:
            adapter = self._adapter_of(task, cache_salt)
            growing = self._engine.stream(self._engine.prompt(task), self._request_id(), sampling, cache_salt, adapter)
            async with aclosing(growing):
                async for piece in growing:
                    written += piece.text
                    text = _tidy(written)
                    if betrays_prompt(text, task, closed=self._engine.own_layout):
                        silent = True  # a template will take its place
                    if text != said and not silent:
                        yield TextPart(delta=text[len(said) :])
                        said = text
        except InvalidRequest as error:
            yield TextPart(text=_not_asked(task, error))
            return
        finished = piece.finish_reason == "stop"
        answer = Completion(written, piece.prompt_tokens, piece.completion_tokens, finished)
        yield TextPart(text=self._judged(task, answer))

    def _request_id(self) -> str:
        return f"text-{self._prefix}-{next(self._numbers)}"

    def _judged(self, task: GenerationTask, answer: Completion) -> GeneratedText:
        text = _tidy(answer.text)
        reason = self._fault(text, answer.finished, task)
        source: Source = "model" if reason is None else "template"
        shown = text if reason is None else template_text(task)
        return GeneratedText(shown, source, reason, answer.prompt_tokens, answer.completion_tokens)

    def _pattern(self, task: GenerationTask) -> str:
        return title_pattern(task) if self._constrain_title else ""

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


def _tidy(text: str) -> str:
    """Without spaces around it or doubled in it; that of a text's beginning is the beginning of that of the text."""
    return _SPACES.sub(" ", text).strip()


def _not_asked(task: GenerationTask, error: InvalidRequest) -> GeneratedText:
    """For a prompt that does not fit, or that the catalogue or the user have put a control token into."""
    reason = Reason.CONTROL if isinstance(error, ControlToken) else Reason.TOO_LONG
    return GeneratedText(template_text(task), "template", reason, 0, 0)


async def _drop(running: Sequence[asyncio.Future[GeneratedText]]) -> None:
    """Cancel what still runs and wait until the engine has let go of it."""
    for future in running:
        future.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _joined(parts: Sequence[tuple[int, TextPart]]) -> list[tuple[int, TextPart]]:
    """One part of what is new of each text, and one more for each that is finished."""
    deltas: dict[int, str] = {}
    for place, part in parts:
        if part.text is None:
            deltas[place] = deltas.get(place, "") + part.delta
    finished = [(place, part) for place, part in parts if part.text is not None]
    return [*((place, TextPart(delta=delta)) for place, delta in deltas.items()), *finished]

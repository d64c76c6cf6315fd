"""Stage 5: one call to the generator for the items of one request, in that request's own context."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec
import numpy as np

from interest.batch import Tensors
from interest.errors import AttuneError
from interest.items import Item
from serve.admission import Deadline, in_time
from serve.config import GenerationConfig
from serve.generation.choosing import TextScore
from serve.generation.generator import GeneratedText, TextPart
from serve.generation.prompt import GenerationTask, Language
from serve.metrics import GENERATED, TOKENS, stage_timer
from serve.model import Streaming
from serve.ranker import Stage
from serve.replies import content, usage
from serve.schema import Generate, GeneratedContent, Usage
from serve.telling import Interest, Telling
from serve.tenant import TENANT
from serve.text_choice import TextChooser, variants
from serve.text_origin import facts_for, packed_origin

REPLY_MARGIN_S = 0.02  # kept back for the way home
CANDIDATES_SHARE = 0.8  # of the time left, for writing them: the rest is for reading them
Interests = Sequence[Interest]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the texts of one request; `missing` whether one is that was asked for."""

    contents: Sequence[GeneratedContent | None]  # one an item
    usage: Usage = field(default_factory=Usage)
    missing: bool = False
    timings_ms: Mapping[str, float] = field(default_factory=dict)  # empty when no text was asked for
    origins: Sequence[str] = ()  # one an item, "" where no model wrote the text; empty when no text was asked for


@dataclass(frozen=True, slots=True)
class TextNews:
    """Something new about the text of the item at `place`: more words of the model, or the checked text itself."""

    place: int
    delta: str
    content: GeneratedContent | None  # None: there is more to come


class ContentWriter:
    """Asks the generator stage; whatever goes wrong there, the caller gets None for the texts it did not get."""

    def __init__(
        self, stage: Stage, streaming: Streaming, chooser: TextChooser, telling: Telling, config: GenerationConfig
    ) -> None:
        self._stage = stage
        self._streaming = streaming
        self._chooser = chooser
        self._telling = telling
        self._config = config

    async def written(
        self, generate: Generate | None, interests: Interests, items: Sequence[Item], deadline: Deadline
    ) -> Written:
        """One text an item, as far as the generator gives them in time; nothing when none was asked for."""
        if generate is None:
            return Written([None] * len(items))
        start = time.perf_counter()
        if items and self._config.enabled and generate.candidates:
            return await self._best_written(generate, interests, items, deadline)
        tasks = self._tasks(items, interests, generate)
        texts: Sequence[GeneratedText | None] = [None] * len(items)
        if items and self._config.enabled:
            texts = await self._texts(tasks, generate, deadline.remaining_s())
        contents = [self._content(text, item, generate) for item, text in zip(items, texts, strict=True)]
        return _written(contents, texts, _origins(texts, tasks), start)

    async def writing(
        self, generate: Generate | None, interests: Interests, items: Sequence[Item], deadline: Deadline
    ) -> AsyncGenerator[TextNews | Written, None]:
        """`written` as it goes: news of the texts, and what `written` would have given at the end.

        Of several candidates nobody can tell before the end which will be shown: they are told whole.
        """
        if generate is not None and generate.candidates:
            written = await self.written(generate, interests, items, deadline)
            for place, chosen in enumerate(written.contents):
                if chosen is not None:
                    yield TextNews(place, "", chosen)
            yield written
            return
        start = time.perf_counter()
        contents: list[GeneratedContent | None] = [None] * len(items)
        if generate is None:
            yield Written(contents)
            return
        tasks = self._tasks(items, interests, generate)
        texts: list[GeneratedText | None] = [None] * len(items)
        if items and self._config.enabled:
            parts = self._parts(tasks, generate, deadline)
            async with aclosing(parts):
                async for place, part in parts:
                    texts[place] = part.text
                    contents[place] = self._content(part.text, items[place], generate)
                    yield TextNews(place, part.delta, contents[place])
            _count(texts)
        yield _written(contents, texts, _origins(texts, tasks), start)

    async def _best_written(
        self, generate: Generate, interests: Interests, items: Sequence[Item], deadline: Deadline
    ) -> Written:
        """The best of `candidates` texts an item."""
        start = time.perf_counter()
        tasks = variants(self._tasks(items, interests, generate), generate.candidates)
        texts = await self._texts(tasks, generate, CANDIDATES_SHARE * deadline.remaining_s())
        choices = await self._chooser.choose(tasks, texts, generate.candidates, deadline)
        contents = [
            self._content(choice.text, item, generate, choice.score) if choice else None
            for item, choice in zip(items, choices, strict=True)
        ]
        origins = [_origin(choice.text, choice.task) if choice else "" for choice in choices]
        return _written(contents, texts, origins, start)

    async def _texts(
        self, tasks: Sequence[GenerationTask], generate: Generate, remaining_s: float
    ) -> list[GeneratedText | None]:
        """One text a task, None where there is none in time. Cancelling it stops the engine's work."""
        budget_s = remaining_s - REPLY_MARGIN_S
        if budget_s <= 0:
            return [None] * len(tasks)
        try:
            with stage_timer("generator"):
                async with asyncio.timeout(remaining_s):
                    answer = await self._stage(self._tensors(tasks, generate, budget_s))
        except (TimeoutError, AttuneError):
            return [None] * len(tasks)
        texts = [msgspec.json.decode(body, type=GeneratedText | None) for body in answer["text"]]
        _count(texts)
        return texts

    async def _parts(
        self, tasks: Sequence[GenerationTask], generate: Generate, deadline: Deadline
    ) -> AsyncGenerator[tuple[int, TextPart], None]:
        """(place of the item, what is new of its text), until all are finished or the time or the generator ends."""
        budget_s = deadline.remaining_s() - REPLY_MARGIN_S
        if budget_s <= 0:
            return
        messages = self._streaming(self._tensors(tasks, generate, budget_s))
        try:
            with stage_timer("generator"):
                async with aclosing(in_time(messages, deadline)) as growing:
                    async for parts in growing:
                        for place, body in parts:
                            yield place, msgspec.json.decode(body, type=TextPart)
        except (TimeoutError, AttuneError):
            return

    def _tensors(self, tasks: Sequence[GenerationTask], generate: Generate, budget_s: float) -> Tensors:
        return {
            "task": np.array([msgspec.json.encode(task) for task in tasks], dtype=object),
            "max_tokens": np.full(len(tasks), generate.max_tokens or self._config.max_tokens, dtype=np.int64),
            "remaining_ms": np.full(len(tasks), 1000 * budget_s, dtype=np.float64),
            "cache_salt": np.full(len(tasks), TENANT.get(), dtype=object),
        }

    def _content(
        self, text: GeneratedText | None, item: Item, generate: Generate, score: TextScore | None = None
    ) -> GeneratedContent | None:
        return content(text, generate.content_type, self.language(item, generate), score) if text else None

    def language(self, item: Item, generate: Generate) -> Language:
        """The language that the text about this item is written in."""
        if generate.language is not None:
            return generate.language
        if self._config.default_language != "auto":
            return self._config.default_language
        return "zh" if item.language == "zh" else "en"

    def _tasks(self, items: Sequence[Item], interests: Interests, generate: Generate) -> list[GenerationTask]:
        told = self._telling.told(interests)
        return [self._task(item, told, generate) for item in items]

    def _task(self, item: Item, told: tuple[tuple[str, float], ...], generate: Generate) -> GenerationTask:
        return GenerationTask(
            item=facts_for(item),
            interests=told,
            content_type=generate.content_type,
            language=self.language(item, generate),
        )


def _written(
    contents: Sequence[GeneratedContent | None],
    texts: Sequence[GeneratedText | None],
    origins: Sequence[str],
    start: float,
) -> Written:
    """`start` in perf_counter seconds."""
    timings = {"generate": round(1000 * (time.perf_counter() - start), 3)}
    return Written(contents, usage(texts), None in contents, timings, origins)


def _origins(texts: Sequence[GeneratedText | None], tasks: Sequence[GenerationTask]) -> list[str]:
    return [_origin(text, task) for text, task in zip(texts, tasks, strict=True)]


def _origin(text: GeneratedText | None, task: GenerationTask) -> str:
    """What the model wrote the text from; "" for a template and where there is no text."""
    return packed_origin(task) if text is not None and text.source == "model" else ""


def _count(texts: Sequence[GeneratedText | None]) -> None:
    for text in texts:
        if text is None:
            GENERATED.labels("none", "deadline").inc()
        else:
            GENERATED.labels(text.source, text.reason or "pass").inc()
            TOKENS.labels("prompt").inc(text.prompt_tokens)
            TOKENS.labels("completion").inc(text.completion_tokens)

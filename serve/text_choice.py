"""Several texts an item become one: the encoder of the release says how near each is to the reader's interests."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from interest.batch import Floats
from interest.errors import AttuneError
from serve.admission import Deadline
from serve.embeddings import encoded
from serve.generation.choosing import TextScore, best_of, profile_vector, scored, spoken
from serve.generation.generator import GeneratedText
from serve.generation.prompt import GenerationTask
from serve.ranker import Stage


@dataclass(frozen=True, slots=True)
class Choice:
    """The text to show, what it was written from, and how it did."""

    task: GenerationTask
    text: GeneratedText
    score: TextScore


def variants(tasks: Sequence[GenerationTask], each: int) -> list[GenerationTask]:
    """Each task in `each` sentence plans, one after the other."""
    return [replace(task, variant=number) for task in tasks for number in range(each)]


class TextChooser:
    """An encoder that fails or is late costs the similarity and no more: it is 0 then."""

    def __init__(self, encoder: Stage) -> None:
        self._encoder = encoder

    async def choose(
        self, tasks: Sequence[GenerationTask], texts: Sequence[GeneratedText | None], each: int, deadline: Deadline
    ) -> list[Choice | None]:
        """The best of each `each` texts in a row, all for the same reader; None where none of them is there."""
        there = [place for place, text in enumerate(texts) if text is not None]
        if not there:
            return [None] * (len(texts) // each)
        interests = [(name, weight) for name, weight in tasks[0].interests if weight > 0 and name.strip()]
        said = [spoken(text.text, tasks[place]) for place, text in enumerate(texts) if text is not None]
        vectors = await self._encoded([*(name for name, _ in interests), *said], deadline)
        profile = profile_vector([weight for _, weight in interests], vectors[: len(interests)])
        vector_of = dict(zip(there, vectors[len(interests) :], strict=True))
        return [
            self._best(range(start, start + each), tasks, texts, vector_of, profile)
            for start in range(0, len(texts), each)
        ]

    def _best(
        self,
        places: range,
        tasks: Sequence[GenerationTask],
        texts: Sequence[GeneratedText | None],
        vector_of: dict[int, Floats],
        profile: Floats,
    ) -> Choice | None:
        found = [
            Choice(tasks[place], text, scored(text, tasks[place], vector_of[place], profile))
            for place in places
            if (text := texts[place]) is not None
        ]
        return found[best_of([choice.score for choice in found])] if found else None

    async def _encoded(self, texts: Sequence[str], deadline: Deadline) -> Floats:
        """Unit rows [n, E]; [n, 1] zeros when they do not come in time."""
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                return (await encoded(self._encoder, texts)).vectors
        except (TimeoutError, AttuneError):
            return np.zeros((len(texts), 1), dtype=np.float32)

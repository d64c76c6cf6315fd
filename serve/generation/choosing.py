"""Which of several texts about one item suits its reader best: three parts of a score, each 0 to 1, and their mean.

The title is taken out before anything is measured: what the catalogue calls an item must not earn its text a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from interest.batch import Floats
from serve.generation.generator import GeneratedText
from serve.generation.grounding import mentions
from serve.generation.prompt import QUOTES, GenerationTask, clean_name, facts_of, spelling_key

SIMILARITY, COVERAGE, GROUNDED = 0.4, 0.4, 0.2  # weights of the parts in the whole
SHARED, LACKED = 0.6, 0.2  # what naming an interest of weight 1 covers, by whether the item has it


@dataclass(frozen=True, slots=True)
class TextScore:
    """How well a text suits its reader."""

    similarity: float  # cosine of the text and the reader's interests, as the encoder of the release sees them
    coverage: float  # of the reader's interests by those that the text names
    grounded: float  # 1: the model's own words, found true; 0: a template in their place

    @property
    def total(self) -> float:
        return SIMILARITY * self.similarity + COVERAGE * self.coverage + GROUNDED * self.grounded


def spoken(text: str, task: GenerationTask) -> str:
    """The text without the title in its quotes."""
    opening, closing = QUOTES[task.language]
    return " ".join(text.replace(f"{opening}{facts_of(task).title}{closing}", " ").split())


def coverage(text: str, task: GenerationTask) -> float:
    """1 - product of (1 - share x weight) over the interests named beside the title: each further one adds less."""
    facts, said = facts_of(task), spoken(text, task)
    weights = {spelling_key(clean_name(name)): min(weight, 1.0) for name, weight in reversed(task.interests)}
    left = 1.0
    for name, share in chain(((name, SHARED) for name in facts.matches), ((name, LACKED) for name in facts.likes)):
        if mentions(said, name.casefold()):
            left *= 1.0 - share * weights[spelling_key(name)]
    return 1.0 - left


def profile_vector(weights: Sequence[float], vectors: Floats) -> Floats:
    """Unit vector [E] of interests with these weights and vectors [n, E]; zeros without any."""
    total: Floats = np.asarray(weights, dtype=np.float32) @ vectors
    length = float(np.sqrt(total @ total))
    return total / np.float32(length) if length > 0 else total


def scored(text: GeneratedText, task: GenerationTask, vector: Floats, profile: Floats) -> TextScore:
    """`vector` [E] of the spoken text and `profile` [E] at unit length, or zeros where nothing is known of them."""
    return TextScore(
        similarity=max(0.0, float(vector @ profile)),
        coverage=coverage(text.text, task),
        grounded=float(text.source == "model"),
    )


def best_of(scores: Sequence[TextScore]) -> int:
    """Place of the highest total, the first of equals."""
    return max(range(len(scores)), key=lambda place: (scores[place].total, -place))

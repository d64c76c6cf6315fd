"""Which wording is preferred: a weight for every word, fitted to pairs of texts of which one was chosen.

Bradley, Terry 1952, "Rank analysis of incomplete block designs": a is preferred to b with probability
sigmoid(s(a) - s(b)). Here s(text) is the sum of its words' weights, found by the greatest likelihood with a ridge of
`RIDGE`, by Newton's method. Title and facts are no words: what an item is says nothing of how it is told.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from interest.batch import Doubles
from serve.generation.grounding import without_facts
from serve.generation.prompt import GenerationTask

RIDGE = 1.0
NEWTON_STEPS = 30
_WORD = re.compile(r"[\u3400-\u9fff]|[a-z']+|[^\w\s\x00-\x1f]")
Words = Counter[str]


def words_of(text: str, task: GenerationTask) -> Words:
    """Words (in Chinese: characters) and punctuation marks beside title and facts, case-folded, and how often each."""
    return Counter(_WORD.findall(without_facts(text, task).casefold()))


class Preference:
    """What pairs (chosen, refused) have in common; without pairs, all texts are equally good."""

    def __init__(self, pairs: Sequence[tuple[Words, Words]]) -> None:
        known = sorted({word for pair in pairs for words in pair for word in words})
        place = {word: number for number, word in enumerate(known)}
        gained = np.zeros((len(pairs), len(known)))
        for row, (chosen, refused) in enumerate(pairs):
            for word, count in chosen.items():
                gained[row, place[word]] += count
            for word, count in refused.items():
                gained[row, place[word]] -= count
        self._weights = dict(zip(known, _fitted(gained).tolist(), strict=True))

    def score(self, words: Words) -> float:
        """In logits of being preferred; a word that no pair held adds nothing."""
        return float(sum(self._weights.get(word, 0.0) * count for word, count in words.items()))


def _fitted(gained: Doubles) -> Doubles:
    """Weights [words] for `gained` [pairs, words], what the chosen text has more of each word."""
    weights: Doubles = np.zeros(gained.shape[1])
    for _ in range(NEWTON_STEPS):
        wrong = 1 / (1 + np.exp(gained @ weights))  # probability that the refused one is preferred
        slope = gained.T @ wrong - RIDGE * weights
        curvature = (gained * (wrong * (1 - wrong))[:, None]).T @ gained + RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return weights

"""Is an adapter worth serving? Preference on pairs it has not seen, and truth against the model without it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from interest.batch import Doubles
from interest.errors import InvalidRequest
from ranking.bootstrap import mean_intervals
from serve.adaptation.pairs import Pair
from serve.generation.prompt import GenerationTask

HELD_OUT_SHARE = 0.2  # of the items that pairs are about
LEAST_HELD_OUT = 30  # pairs: an interval of fewer says nothing
MARGIN = 0.02  # by how much fewer of its texts than the base's may be grounded
JUDGED_TEXTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Shares from 0 to 1. The interval is that of 95 % by a bootstrap over items."""

    pairs: int  # held out
    accuracy: float  # of them, how many the adapter prefers as the users did; a tie is half of one
    low: float
    high: float
    texts: int
    grounded: float  # of texts with the adapter, how many the check lets pass
    grounded_base: float  # of those without it, about the same tasks
    margin: float

    def refusal(self) -> str | None:
        """A sentence of numbers for an adapter that is not to be served; None for one that may be."""
        faults = []
        if self.low <= 0.5:
            faults.append(
                f"preference accuracy {self.accuracy:.1%} on {self.pairs:,} held-out pairs, lower end of its 95 % "
                f"interval {self.low:.1%}: must be above 50 %"
            )
        if self.grounded < self.grounded_base - self.margin:
            faults.append(
                f"{self.grounded:.1%} of {self.texts:,} texts grounded, {self.grounded_base:.1%} without it: may be "
                f"{100 * self.margin:g} points fewer at most"
            )
        return "; ".join(faults) or None


def split(pairs: Sequence[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    """(to learn from, held out): no item is in both. Raises `InvalidRequest` for too few pairs to judge by."""
    items = sorted({pair.item_id for pair in pairs})
    order = np.random.default_rng((seed, 1)).permutation(len(items))
    kept_back = {items[place] for place in order[: round(HELD_OUT_SHARE * len(items))]}
    held_out = [pair for pair in pairs if pair.item_id in kept_back]
    if len(held_out) < LEAST_HELD_OUT:
        raise InvalidRequest(
            f"pairs: {len(held_out)} of {len(pairs)} can be held out, at least {LEAST_HELD_OUT} are needed to judge by"
        )
    return [pair for pair in pairs if pair.item_id not in kept_back], held_out


def judged_tasks(held_out: Sequence[Pair]) -> list[GenerationTask]:
    """The tasks of these pairs, then other variants of them, as many as are judged."""
    tasks = list(dict.fromkeys(pair.task for pair in held_out))
    rounds = -(-JUDGED_TEXTS // len(tasks))
    every = [replace(task, variant=task.variant + number) for number in range(rounds) for task in tasks]
    return every[:JUDGED_TEXTS]


def judgement(
    held_out: Sequence[Pair], margins: Doubles, base: Sequence[bool], adapted: Sequence[bool], seed: int, margin: float
) -> Judgement:
    """`margins` [pairs]: above 0 where the adapter agrees; `base` and `adapted`: which texts of each were grounded."""
    agrees = np.where(margins == 0, 0.5, margins > 0)
    items = sorted({pair.item_id for pair in held_out})
    place = np.array([items.index(pair.item_id) for pair in held_out])
    counts = np.bincount(place, minlength=len(items))
    right = np.bincount(place, weights=agrees, minlength=len(items))
    accuracy = float(agrees.mean())
    # The share of a resample is a ratio of sums; about the accuracy found, each item's excess has the same interval.
    excess = (right - accuracy * counts) / counts.mean()
    interval = mean_intervals(excess[:, None], np.random.default_rng((seed, 2)))
    return Judgement(
        pairs=len(held_out),
        accuracy=accuracy,
        low=accuracy + float(interval.low[0]),
        high=accuracy + float(interval.high[0]),
        texts=len(base),
        grounded=float(np.mean(adapted)),
        grounded_base=float(np.mean(base)),
        margin=margin,
    )

"""Is an adapter worth serving? By what it writes: for whom it has not seen, beside what the model writes without it.

The texts that it puts in the place of others show which words it prefers: a `Preference` fitted to those. That must
agree with the readers of held-out pairs more often than the model without the adapter does, which is one half, as it
puts nothing in the place of anything. The verdicts of those readers were used for nothing before, so that an adapter
that has learned nothing passes once in 30 to 40 times: few items make the interval short.

The adapter's likelihoods of the texts of a pair say less (the reward that DPO implies, Rafailov et al. 2023, "Direct
Preference Optimization", equation 5): nearly all of that is how far it has moved from the plan that the prompt names,
which one of the two texts follows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from interest.errors import InvalidRequest
from ranking.bootstrap import mean_intervals
from serve.adaptation.pairs import Pair
from serve.adaptation.preference import Preference, words_of
from serve.generation.generator import GeneratedText
from serve.generation.grounding import Reason
from serve.generation.prompt import GenerationTask

HELD_OUT_SHARE = 0.2  # of the items that pairs are about
LEAST_HELD_OUT = 30  # pairs: an interval of fewer says nothing
MARGIN = 0.02  # by how much fewer of its texts than the base's may be grounded
LEAST_CHANGED = 0.1  # of the texts: one that changes fewer is not worth what it costs to serve
JUDGED_TEXTS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Shares from 0 to 1. The interval is that of 95 % by a bootstrap over items."""

    pairs: int  # held out
    accuracy: float  # of them, in how many what the adapter writes shows the readers' preference; a tie is half of one
    low: float
    high: float
    texts: int
    changed: float  # of the texts that are the model's own and true with the adapter and without, how many differ
    grounded: float  # of texts with the adapter, how many the check lets pass
    grounded_base: float  # of those without it, about the same tasks
    untrue: Mapping[str, int]  # texts with the adapter that the check refused, by its reason
    untrue_base: Mapping[str, int]
    margin: float

    def refusal(self) -> str | None:
        """A sentence of numbers for an adapter that is not to be served; None for one that may be."""
        faults = []
        if self.changed < LEAST_CHANGED:
            faults.append(
                f"{self.changed:.1%} of {self.texts:,} texts changed by it: must be {LEAST_CHANGED:.0%} at least"
            )
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
    held_out: Sequence[Pair],
    tasks: Sequence[GenerationTask],
    base: Sequence[GeneratedText | None],
    adapted: Sequence[GeneratedText | None],
    seed: int,
    margin: float,
) -> Judgement:
    """`base` and `adapted`: the texts for `tasks`, in order, without and with the adapter; None for one unfinished."""
    both = [
        (task, before.text, after.text)
        for task, before, after in zip(tasks, base, adapted, strict=True)
        if before is not None and after is not None and before.source == after.source == "model"
    ]
    changed = [(words_of(after, task), words_of(before, task)) for task, before, after in both if after != before]
    accuracy, low, high = agreement(held_out, Preference(changed), seed)
    return Judgement(
        pairs=len(held_out),
        accuracy=accuracy,
        low=low,
        high=high,
        texts=len(tasks),
        changed=len(changed) / max(len(both), 1),
        grounded=_grounded(adapted),
        grounded_base=_grounded(base),
        untrue=_untrue(adapted),
        untrue_base=_untrue(base),
        margin=margin,
    )


def agreement(pairs: Sequence[Pair], preference: Preference, seed: int) -> tuple[float, float, float]:
    """(share of the pairs that are preferred as the readers did, the ends of its 95 % interval, resampled by item)."""
    gained = [_gain(pair, preference) for pair in pairs]
    agrees = np.where(np.abs(gained) < 1e-9, 0.5, np.greater(gained, 0))
    place = np.unique([pair.item_id for pair in pairs], return_inverse=True)[1]
    counts = np.bincount(place)
    accuracy = float(agrees.mean())
    # The share of a resample is a ratio of sums; about the accuracy found, each item's excess has the same interval.
    excess = (np.bincount(place, weights=agrees) - accuracy * counts) / counts.mean()
    interval = mean_intervals(excess[:, None], np.random.default_rng((seed, 2)))
    return accuracy, accuracy + float(interval.low[0]), accuracy + float(interval.high[0])


def _gain(pair: Pair, preference: Preference) -> float:
    chosen, rejected = (preference.score(words_of(text, pair.task)) for text in (pair.chosen, pair.rejected))
    return chosen - rejected


def _grounded(texts: Sequence[GeneratedText | None]) -> float:
    return float(np.mean([text is not None and text.source == "model" for text in texts]))


def _untrue(texts: Sequence[GeneratedText | None]) -> dict[str, int]:
    """By reason, the most frequent first; a text that was not finished in time is `unfinished`."""
    reasons = [Reason.UNFINISHED if text is None else text.reason for text in texts]
    return {str(reason): count for reason, count in Counter(reasons).most_common() if reason is not None}

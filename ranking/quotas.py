"""Quotas of the candidate sources, fitted to what past requests then wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Doubles, Floats, Longs

STEPS = (0.0, 0.5, 0.75, 1.33, 2.0)  # what a quota is multiplied by, one source at a time
ROUNDS = 3
TOTAL = 1_000  # of the fitted quotas
LEAST = 10  # so that no source is lost for users unlike those of the log
GAIN = 1e-4  # of recall; less is chance


@dataclass(frozen=True, slots=True)
class SourceLists:
    """What S sources named for Q past requests: the place (from 1) of M padded items in each list, inf where absent.

    `wanted` [Q, M]: the user then acted on the item; `relevant` [Q]: number of wanted items, named by a source or not.
    """

    places: Floats  # [S, Q, M]
    wanted: Doubles  # [Q, M] 0 or 1
    relevant: Longs  # [Q], at least 1

    def recall(self, quotas: Sequence[float], count: int) -> float:
        """Mean share of the wanted items among the `count` candidates that these quotas [S] choose."""
        place: Floats = np.full(self.wanted.shape, np.inf, dtype=np.float32)
        for source, quota in enumerate(quotas):
            if quota > 0:
                place = np.minimum(place, self.places[source] / np.float32(quota))
        if count < place.shape[1]:
            limit = np.partition(place, count - 1, axis=1)[:, count - 1 : count]
            chosen = place <= limit
        else:
            chosen = np.ones(place.shape, dtype=np.bool_)
        chosen &= np.isfinite(place)
        return float(np.mean((chosen * self.wanted).sum(axis=1) / self.relevant))


def source_lists(lists: Sequence[Sequence[Longs]], wanted: Sequence[Longs]) -> SourceLists:
    """From the item keys that each of S sources named for each of Q requests, best first, and those then wanted."""
    unions = [np.unique(np.concatenate(list(named))) for named in lists]
    sources = len(lists[0])
    places = np.full((sources, len(lists), max(len(union) for union in unions)), np.inf, dtype=np.float32)
    hits = np.zeros(places.shape[1:])
    for query, (named, union) in enumerate(zip(lists, unions, strict=True)):
        for source, keys in enumerate(named):
            places[source, query, np.searchsorted(union, keys)] = np.arange(1, len(keys) + 1)
        hits[query, : len(union)] = np.isin(union, wanted[query])
    return SourceLists(places, hits, np.array([len(keys) for keys in wanted]))


def fit_quotas(lists: SourceLists, start: Mapping[str, int], count: int) -> dict[str, int]:
    """Quotas by source (in the order of `start`) that raise recall at `count`, by coordinate ascent from `start`."""
    names = list(start)
    best = np.array([float(start[name]) for name in names])
    best = best * TOTAL / best.sum()
    reached = lists.recall(best.tolist(), count)
    for _ in range(ROUNDS):
        before = reached
        for source in range(len(names)):
            for step in STEPS:
                tried = best.copy()
                tried[source] = max(LEAST, tried[source] * step)
                recall = lists.recall(tried.tolist(), count)
                if recall > reached + GAIN:
                    best, reached = tried * TOTAL / tried.sum(), recall
        if reached <= before:
            break
    return {name: max(LEAST, round(quota)) for name, quota in zip(names, best.tolist(), strict=True)}

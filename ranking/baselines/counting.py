"""Baselines that only count: popularity as of each request, and what the user did themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Floats
from ranking.baselines.base import Settings, grid, optional
from ranking.baselines.data import DAY_S, Interactions, Requests, World, decayed, summed_matrix

WINDOWS_DAYS = (1.0, 2.0, 3.0, 7.0, 14.0, 30.0, 60.0)
TIE_BREAK = 1e-4  # of an act: what decides between items with the same count


class Popularity:
    """How many acts each item had before the request, over all time or the last `window_days`: no request sees later.

    Of equal counts the item that was wanted more over all time comes first.
    """

    def __init__(self, name: str, windows_days: Sequence[float | None]) -> None:
        self.name = name
        self.grid: Sequence[Settings] = grid(window_days=windows_days)

    def fit(self, world: World, settings: Settings) -> "PopularityScorer":
        return PopularityScorer(world.live, world.items, optional(settings, "window_days"))


@dataclass(frozen=True, slots=True)
class PopularityScorer:
    live: Interactions  # by time
    items: int
    window_days: float | None

    def scores(self, requests: Requests) -> Floats:
        first = -np.inf if self.window_days is None else requests.as_of - self.window_days * DAY_S
        starts = np.searchsorted(self.live.time, np.broadcast_to(first, requests.as_of.shape), side="right")
        ends = np.searchsorted(self.live.time, requests.as_of, side="right")
        counts = np.zeros((len(requests), self.items), dtype=np.float32)
        for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
            recent = np.bincount(self.live.item[start:end], minlength=self.items)
            before = np.bincount(self.live.item[:start], minlength=self.items)
            counts[row] = recent + TIE_BREAK * before / (before + 100.0)
        return counts


class OwnCounts:
    """How often the user acted on each item, in the last `window_days`, each act decayed by its age.

    `ties` says which of equal counts comes first: the "latest" act, or the more "popular" item of the last 30 days;
    such items then also fill the list after the user's own.
    """

    name = "own counts"
    grid = grid(
        window_days=(None, 100.0, 200.0, 250.0),
        half_life_days=(None, 30.0, 60.0, 120.0, 240.0, 480.0),
        ties=("latest", "popular"),
    )

    def fit(self, world: World, settings: Settings) -> "OwnScorer":
        ties = PopularityScorer(world.live, world.items, 30.0) if settings["ties"] == "popular" else None
        return OwnScorer(world.items, optional(settings, "window_days"), optional(settings, "half_life_days"), ties)


@dataclass(frozen=True, slots=True)
class OwnScorer:
    items: int
    window_days: float | None
    half_life_days: float | None
    ties: PopularityScorer | None

    def scores(self, requests: Requests) -> Floats:
        ages = requests.ages_s()
        weights = decayed(ages, self.half_life_days)
        if self.window_days is not None:
            weights = np.where(ages <= self.window_days * DAY_S, weights, 0.0)
        if self.ties is None:
            weights = np.where(weights > 0, weights + TIE_BREAK * decayed(ages, 30.0), 0.0)
        dense: Floats = summed_matrix(requests.history, weights, (len(requests), self.items)).toarray()
        if self.ties is not None:
            counts = self.ties.scores(requests)
            dense += np.float32(TIE_BREAK) * counts / (counts + 100.0)
        return dense

"""Tuning: every baseline by nDCG@10 on the very users it is then measured on, which favours the baselines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from interest.batch import Floats, Longs
from ranking.baselines.base import Baseline, Settings, rank
from ranking.baselines.blend import WEIGHTS, Chosen, Part, blended, described, scaled
from ranking.baselines.data import Requests, World
from ranking.evaluation import ranking_metrics

PLACES = 10  # of the nDCG that decides
LISTED = 50  # places of the final lists
ROUNDS = 3  # of the coordinate search over a blend's weights and settings


@dataclass(frozen=True, slots=True)
class Questions:
    """Requests and what was relevant: distinct item rows, cut by `offsets` [B + 1]."""

    requests: Requests
    offsets: Longs
    relevant: Longs

    def ndcg(self, scores: Floats) -> float:
        """Mean nDCG@10."""
        return self.ndcg_of(rank(scores, self.requests, PLACES))

    def ndcg_of(self, ranked: Longs) -> float:
        """The same of lists of item rows [B, >= 10]."""
        ndcg = ranking_metrics(ranked, self.offsets, self.relevant, PLACES).ndcg
        return float(ndcg.mean()) if len(ndcg) else 0.0


@dataclass(frozen=True, slots=True)
class Tuned:
    """A baseline at its best: its settings, and the lists they give."""

    name: str
    settings: Mapping[str, object]
    tried: int  # settings
    ranked: Longs  # [B, LISTED] item rows, -1 where there are fewer
    best: Sequence[Settings]  # all settings tried, best first; empty for a blend


def tune(baseline: Baseline, world: World, many: Sequence[Questions], progress: Callable[[], None]) -> list[Tuned]:
    """For each of these questions by itself: try every setting, keep the best; of equal ones the first."""
    scored: list[list[tuple[float, int]]] = [[] for _ in many]
    kept = [np.zeros((0, LISTED), dtype=np.int64) for _ in many]
    for place, settings in enumerate(baseline.grid):
        scorer = baseline.fit(world, settings)  # once for all of them
        for own, questions in enumerate(many):
            ranked = rank(scorer.scores(questions.requests), questions.requests, LISTED)
            found = questions.ndcg_of(ranked)
            if all(found > -other for other, _ in scored[own]):
                kept[own] = ranked
            scored[own].append((-found, place))
        progress()
    orders = [[baseline.grid[place] for _, place in sorted(one)] for one in scored]
    return [
        Tuned(baseline.name, order[0], len(order), ranked, order) for order, ranked in zip(orders, kept, strict=True)
    ]


def tune_blend(name: str, parts: Sequence[Part], world: World, questions: Questions) -> Tuned:
    """Coordinate search: the first part weighs 1, each other starts at 0; one weight or one setting at a time.

    It starts from each part's first candidate and ends when a round changes nothing, at the latest after `ROUNDS`.
    """
    chosen = [Chosen(part, part.candidates[0], float(place == 0)) for place, part in enumerate(parts)]
    search = _Search(world, questions)
    best = search.ndcg(chosen)
    for _ in range(ROUNDS):
        before = best
        for place, part in enumerate(parts):
            for changed in _neighbours(chosen[place], part, fixed_weight=place == 0):
                trial = [*chosen[:place], changed, *chosen[place + 1 :]]
                found = search.ndcg(trial)
                if found > best:
                    best, chosen = found, trial
        if best == before:
            break
    ranked = rank(search.scores(chosen), questions.requests, LISTED)
    return Tuned(name, described(chosen), search.tried, ranked, ())


def _neighbours(chosen: Chosen, part: Part, fixed_weight: bool) -> list[Chosen]:
    """Every weight with the settings at hand, and every setting with the weight at hand."""
    weights = [] if fixed_weight else [replace(chosen, weight=weight) for weight in WEIGHTS]
    weight = chosen.weight or 0.3  # settings cannot be compared at a weight of 0
    return weights + [replace(chosen, settings=settings, weight=weight) for settings in part.candidates]


class _Search:
    """Remembers each part's scaled scores, so that a trial is one weighted sum."""

    def __init__(self, world: World, questions: Questions) -> None:
        self._world = world
        self._questions = questions
        self._held: dict[str, Floats] = {}
        self._known: dict[str, float] = {}
        self.tried = 0

    def ndcg(self, chosen: Sequence[Chosen]) -> float:
        key = repr(described(chosen))
        if key not in self._known:
            self.tried += 1
            self._known[key] = self._questions.ndcg(self.scores(chosen))
        return self._known[key]

    def scores(self, chosen: Sequence[Chosen]) -> Floats:
        return blended([(self._part(one), one.weight) for one in chosen])

    def _part(self, one: Chosen) -> Floats:
        key = f"{one.part.baseline.name} {dict(one.settings)!r}"
        if key not in self._held:
            scorer = one.part.baseline.fit(self._world, one.settings)
            self._held[key] = scaled(scorer.scores(self._questions.requests), one.part.logarithm)
        return self._held[key]

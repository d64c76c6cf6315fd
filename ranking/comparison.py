"""Ways to rank side by side: accuracy at several k, what the lists are like, and intervals to the best baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from interest.batch import Doubles, Floats, Longs
from ranking.bootstrap import mean_intervals
from ranking.evaluation import Metrics, ranking_metrics
from ranking.list_metrics import ListMetrics, beyond_accuracy

PLACES = (10, 20)
DECIDING = "ndcg@10"  # which baseline is the best
SEED = 0


@dataclass(frozen=True, slots=True)
class Lists:
    """What one way of ranking came up with for a task: item rows [users, >= 20], best first, padded with -1."""

    name: str
    ranked: Longs
    settings: Mapping[str, object]
    tried: int  # settings it was tuned over; 0 where nothing was tuned on these users


@dataclass(frozen=True, slots=True)
class Truth:
    """Distinct relevant item rows, cut by `offsets` [users + 1]; `content` [items, E] and `counts` describe items.

    `counts` [items]: how many of `users` users touched each item in the data that was fitted on.
    """

    offsets: Longs
    relevant: Longs
    content: Floats
    counts: Doubles
    users: int


@dataclass(frozen=True, slots=True)
class Method:
    """One line of the comparison; `differences` are (mean, low, high) to the best baseline."""

    name: str
    settings: Mapping[str, object]
    tried: int
    metrics: Mapping[str, float]  # by "ndcg@10" and the like
    lists: ListMetrics  # of the first 10 places
    differences: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of them for one task, in the order given."""

    users: int
    best_baseline: str
    methods: Sequence[Method]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(own: Sequence[Lists], baselines: Sequence[Lists], truth: Truth) -> Comparison:
    """`own` and `baselines` on one task; the best baseline is the one with the highest mean nDCG@10.

    Without baselines the differences are to the first of `own`.
    """
    everyone = [*baselines, *own]
    by_user = {one.name: per_user(one.ranked, truth) for one in everyone}
    best = max(baselines or own[:1], key=lambda one: float(by_user[one.name][DECIDING].mean())).name
    names = list(by_user[best])
    gaps = [np.stack([by_user[one.name][name] - by_user[best][name] for name in names], axis=1) for one in everyone]
    found = mean_intervals(np.concatenate(gaps, axis=1), np.random.default_rng(SEED))
    methods = []
    for place, one in enumerate(everyone):
        columns = range(place * len(names), (place + 1) * len(names))
        methods.append(
            Method(
                name=one.name,
                settings=one.settings,
                tried=one.tried,
                metrics={name: float(by_user[one.name][name].mean()) for name in names},
                lists=beyond_accuracy(one.ranked[:, : PLACES[0]], truth.content, truth.counts, truth.users),
                differences={
                    name: (float(found.mean[column]), float(found.low[column]), float(found.high[column]))
                    for name, column in zip(names, columns, strict=True)
                },
            )
        )
    return Comparison(len(truth.offsets) - 1, best, methods)


def per_user(ranked: Longs, truth: Truth) -> dict[str, Doubles]:
    """Every metric at every number of places, float64 [users], by "name@k"."""
    found: dict[str, Doubles] = {}
    for k in PLACES:
        metrics = ranking_metrics(ranked, truth.offsets, truth.relevant, k)
        found |= {f"{item.name}@{k}": getattr(metrics, item.name) for item in fields(Metrics)}
    return found

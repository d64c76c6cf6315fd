"""How much an approximate index must look at: found by comparing it with exact search on sampled queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from interest.batch import Floats, Longs
from ranking.index_cells import Cells
from ranking.index_curve import Curve
from ranking.index_flat import Main
from ranking.index_kernels import Selection, exact_rows

DEPTHS = (100, 500, 2_500)  # the first is the promised one; the others serve filters, exclusions and longer lists
CHECKED = 2  # of the depths: a built index is measured at these before it is used
SHARES = np.geomspace(0.0005, 1.0, 120)  # of the rows
CAUTION = 1.645  # standard errors below the mean: one-sided 95 %


class Widening(Main, Protocol):
    """An approximate index that can be told to look at more."""

    def worthwhile(self) -> bool:
        """Whether this is less work than comparing everything."""

    def widened(self) -> Self:
        """The same index looking at more."""


Approximate = TypeVar("Approximate", bound=Widening)


@dataclass(frozen=True, slots=True)
class Trial:
    """Queries and their exact answers."""

    queries: Floats  # [Q, D]
    nearest: Longs  # [Q, n] main rows, best first; n reaches the deepest of `DEPTHS` that the rows allow

    def depths(self) -> list[int]:
        """Those of `DEPTHS` that can be measured; at least one, shorter than the first on a tiny index."""
        deepest = self.nearest.shape[1]
        return [depth for depth in DEPTHS if depth <= deepest] or [deepest]


def make_trials(
    vectors: Floats, rng: np.random.Generator, count: int, queries: Floats | None = None
) -> tuple[Trial, Trial]:
    """(to tune on, to check with), no query in both. `queries` float32 [n, D] of real users; sampled without them."""
    if queries is None or len(queries) < 2:
        queries = sampled_queries(vectors, rng, count)
    else:
        queries = queries[rng.permutation(len(queries))[:count]]
    nearest = exact_rows(queries, vectors, min(DEPTHS[-1], max(1, len(vectors) // 4)))
    return Trial(queries[::2], nearest[::2]), Trial(queries[1::2], nearest[1::2])


def sampled_queries(vectors: Floats, rng: np.random.Generator, count: int) -> Floats:
    """Float32 [count, D]: in turn a stored vector and the decayed sum of 2 to 16 of them.

    The sums are of items that need not have to do with each other, which is harder than what real users ask.
    """
    queries = np.empty((count, vectors.shape[1]), dtype=np.float32)
    for place in range(count):
        size = 1 if place % 4 < 2 else int(rng.integers(2, 17))
        rows = rng.integers(len(vectors), size=size)
        queries[place] = 0.9 ** np.arange(size, dtype=np.float32) @ vectors[rows]
    return queries


def needed_shares(cells: Cells, trial: Trial, target: float) -> Curve:
    """The share of rows, by depth, that the nearest cells must cover for this recall, with 95 % confidence."""
    rows = int(cells.offsets[-1])
    before = np.empty(trial.nearest.shape)  # share of rows in cells that are nearer than the neighbour's own
    for place, (query, nearest) in enumerate(zip(trial.queries, trial.nearest, strict=True)):
        order, _ = cells.ranked(query)
        sizes = cells.sizes()[order]
        nearer = np.empty(len(order))
        nearer[order] = (np.cumsum(sizes) - sizes) / rows
        before[place] = nearer[np.searchsorted(cells.offsets, nearest, side="right") - 1]
    depths = trial.depths()
    efforts: list[float] = []
    for depth in depths:
        enough = [share for share in SHARES if _cautious((before[:, :depth] < share).mean(axis=1)) >= target]
        efforts.append(max([float(enough[0]) if enough else 1.0, *efforts[-1:]]))
    return Curve(tuple(depths), tuple(efforts))


def recalls(main: Main, vectors: Floats, trial: Trial, depth: int) -> npt.NDArray[np.float64]:
    """For each query the share of the exact best `depth` rows that the index finds."""
    everything = Selection(np.ones(len(vectors), dtype=bool))
    wanted = np.full(len(trial.queries), depth + 1, dtype=np.int64)  # one more, as a search asks
    lists = main.shortlists(vectors, trial.queries, wanted, everything)
    found = [np.isin(nearest[:depth], rows).mean() for nearest, rows in zip(trial.nearest, lists, strict=True)]
    return np.array(found)


def tuned(
    main: Approximate, vectors: Floats, trials: Sequence[Trial], target: float
) -> tuple[Approximate, dict[int, float]] | None:
    """The index looking at enough, and its recall by depth on the second trial; None when it cannot reach `target`.

    On the first trial the recall must be reached with 95 % confidence, on the second one, unseen, by its mean.
    """
    tuning, held_out = trials
    wider = main
    while wider.worthwhile():
        depths = tuning.depths()[:CHECKED]
        if all(_cautious(recalls(wider, vectors, tuning, depth)) >= target for depth in depths):
            reached = {depth: float(recalls(wider, vectors, held_out, depth).mean()) for depth in depths}
            if min(reached.values()) >= target:
                return wider, reached
        wider = wider.widened()
    return None


def _cautious(values: npt.NDArray[np.float64]) -> float:
    """The lower bound of the mean, of the worse sort of queries: single items and sums take turns in a trial."""
    sorts = [part for part in (values[::2], values[1::2]) if len(part)]
    return min(float(part.mean() - CAUTION * part.std() / np.sqrt(len(part))) for part in sorts)

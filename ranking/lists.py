"""From scored candidates to the list that is shown: diversity and calibration, then exploration, then the cut.

Exploration comes last, over the finished order: diversity is a deterministic function of the scores, so the probability
of what is shown stays the one that exploration itself knows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import CatalogueView
from ranking.batch import CandidateBatch, ListWishes
from ranking.calibration import CategoryTable, user_mixes
from ranking.diversity import ScoreOrder, diversify
from ranking.exploration import explored


@dataclass(frozen=True, slots=True)
class Arranged:
    """The lists of B users; `rows` are places in the candidate batch."""

    offsets: Longs  # [B + 1]
    rows: Longs  # [n]
    propensity: Doubles  # [n] of each item at its place, given those above; 1 without exploration


def score_order(scores: Floats, held_back: npt.NDArray[np.bool_], candidates: CandidateBatch) -> ScoreOrder:
    """Each user's candidates by falling score, ties by lower item key."""
    offsets = candidates.candidate_offsets
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((candidates.candidate_item, -scores, user))
    return ScoreOrder(offsets, order, scores[order], held_back[order])


def arrange(
    ranked: ScoreOrder,
    users: UserBatch,
    candidates: CandidateBatch,
    count: Longs,
    view: CatalogueView,
    wishes: ListWishes,
    categories: CategoryTable,
) -> Arranged:
    """The first `count` [B] items of each user's list. Users who wish nothing get the order of `ranked` itself."""
    calibrated = bool((wishes.calibration > 0).any())
    ordered = ranked.order
    if calibrated or (wishes.diversity > 0).any():
        rows = view.rows(candidates.candidate_item[ranked.order])
        mixes = user_mixes(users, view, categories.of(view)) if calibrated else None
        ordered = diversify(ranked, rows, view.content, count, wishes.diversity, wishes.calibration, mixes)
    lengths = np.minimum(np.diff(ranked.offsets), count)
    offsets = ragged_offsets(lengths)
    user = np.repeat(np.arange(len(count)), lengths)
    shown = ordered[ranked.offsets[user] + np.arange(len(user)) - offsets[user]]
    propensity = np.ones(len(shown))
    tails = ranked.pool_sizes(wishes.explore_depth)
    for row in np.flatnonzero(wishes.explore_epsilon > 0):
        start, stop = ranked.offsets[row], ranked.offsets[row + 1]
        part = slice(offsets[row], offsets[row + 1])
        shown[part], propensity[part] = explored(
            ordered[start:stop].tolist(),
            ranked.order[start : start + tails[row]].tolist(),
            int(count[row]),
            float(wishes.explore_epsilon[row]),
            int(wishes.explore_from[row]),
            np.random.default_rng(int(wishes.explore_seed[row])),
        )
    return Arranged(offsets, shown, propensity)

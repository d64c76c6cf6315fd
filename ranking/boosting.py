"""Boosters: a request lifts or lowers the items that match a filter, by a factor, whatever the ranker's scores are.

The scores of a learned ranker are any real numbers, so a factor cannot multiply them: half of -2 is more than -2. It
multiplies exp(score), which is positive and grows with the score; that is the same as adding ln(factor) to the score.
A factor of 2 on an item is therefore worth as much as a lead of ln 2 in score, for every user and in every batch.
Factors of several boosters that match one item multiply.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import ArrayBatch, Doubles, Longs
from interest.catalogue import CatalogueView
from ranking.filter_nodes import Mask
from ranking.filters import FilterMasks

MIN_FACTOR, MAX_FACTOR = 1e-6, 1e6
"""With at most 50 boosters far from what would bring back an item that its user muted (`reranker.MUTED_PENALTY`)."""


@dataclass(frozen=True, slots=True)
class Boosts(ArrayBatch):
    """The boosters of each of B requests."""

    boost_offsets: Longs  # [B + 1]
    boost_filter: npt.NDArray[np.object_]  # str filter expressions
    boost_factor: Doubles  # MIN_FACTOR to MAX_FACTOR


class Boosting:
    """Finds out what boosters match. Filters must have been compiled before: a bad one fails the whole batch."""

    def __init__(self) -> None:
        self._masks = FilterMasks()

    def log_factors(self, boosts: Boosts | None, user: Longs, rows: Longs, view: CatalogueView) -> Doubles:
        """What to add to the scores of these (user of the batch, row of the view) pairs, float64 [N].

        `user` is ascending. Added up in the order of a user's boosters, so that equal requests get equal sums.
        """
        added = np.zeros(len(user))
        if boosts is None or not len(boosts.boost_factor):
            return added
        for owner in np.flatnonzero(np.diff(boosts.boost_offsets)):
            start, stop = np.searchsorted(user, [owner, owner + 1])
            known = start + np.flatnonzero(rows[start:stop] >= 0)
            for mask, factor in self._of(boosts, int(owner), view):
                added[known] += np.where(mask[rows[known]], np.log(factor), 0.0)
        return added

    def lifted(self, boosts: Boosts | None, view: CatalogueView) -> dict[int, Mask]:
        """User of the batch -> the rows of the view that all their boosters together lift, bool [n_rows]."""
        if boosts is None:
            return {}
        lifted = {}
        for owner in np.flatnonzero(np.diff(boosts.boost_offsets)).tolist():
            total = np.zeros(len(view))
            for mask, factor in self._of(boosts, owner, view):
                total += np.where(mask, np.log(factor), 0.0)
            lifted[owner] = total > 0
        return lifted

    def _of(self, boosts: Boosts, owner: int, view: CatalogueView) -> list[tuple[Mask, float]]:
        part = slice(boosts.boost_offsets[owner], boosts.boost_offsets[owner + 1])
        pairs = zip(boosts.boost_filter[part], boosts.boost_factor[part].tolist(), strict=True)
        return [(self._masks.of(str(expression), view), factor) for expression, factor in pairs]

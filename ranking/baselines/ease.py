"""EASE: a linear item-item model in closed form."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg.lapack
import scipy.sparse

from interest.batch import Floats, Longs
from ranking.baselines.base import LastFit, Settings, grid, number, optional
from ranking.baselines.data import Requests, World, fitted_matrix, history_matrix

FEWEST_USERS = 2  # an item of a single user can only point at that user's other items


class Ease:
    """Steck, H. (2019), "Embarrassingly shallow autoencoders for sparse data", equation 8, with time decay.

    `fit_half_life_days` decays the user-item matrix it learns from, `half_life_days` the history it is applied to.
    """

    name = "EASE"
    grid = grid(
        l2=(100.0, 300.0, 1000.0), fit_half_life_days=(None, 15.0, 30.0, 60.0), half_life_days=(None, 10.0, 30.0, 120.0)
    )

    def __init__(self) -> None:
        self._fits = LastFit[tuple[Longs, Floats]]()

    def fit(self, world: World, settings: Settings) -> "EaseScorer":
        l2, half_life = number(settings, "l2"), optional(settings, "fit_half_life_days")
        items, weights = self._fits.get_or_make(world, (l2, half_life), lambda: _weights(world, l2, half_life))
        return EaseScorer(world.items, items, weights, optional(settings, "half_life_days"))


@dataclass(frozen=True, slots=True)
class EaseScorer:
    items: int
    rows: Longs  # [n] the world's items that have weights
    weights: Floats  # [n, n]
    half_life_days: float | None

    def scores(self, requests: Requests) -> Floats:
        history = history_matrix(requests, self.items, self.half_life_days)[:, self.rows]
        found = np.zeros((len(requests), self.items), dtype=np.float32)
        found[:, self.rows] = history @ self.weights
        return found


def _weights(world: World, l2: float, half_life_days: float | None) -> tuple[Longs, Floats]:
    """The items that at least `FEWEST_USERS` users touched, and their weights."""
    matrix = fitted_matrix(world, half_life_days)
    items = np.flatnonzero(np.asarray((matrix > 0).sum(axis=0)).ravel() >= FEWEST_USERS)
    return items, ease_weights(matrix[:, items], l2)


def ease_weights(matrix: scipy.sparse.csr_matrix, l2: float) -> Floats:
    """float32 [items, items] from [users, items]: B = I - P diag(1 / P_jj), P = (X'X + l2 I)^-1; zero diagonal."""
    gram = (matrix.T @ matrix).toarray().astype(np.float32)
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += l2
    factor, failed = scipy.linalg.lapack.spotrf(gram, lower=0, overwrite_a=1)
    assert failed == 0, f"l2={l2}: the Gram matrix is not positive definite"
    inverse, failed = scipy.linalg.lapack.spotri(factor, lower=0, overwrite_c=1)
    assert failed == 0
    upper = np.triu(inverse)
    whole = upper + np.triu(upper, 1).T
    weights: Floats = whole / -whole[diagonal, diagonal][None, :]
    weights[diagonal, diagonal] = 0.0
    return weights

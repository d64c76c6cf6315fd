"""Neighbourhood baselines: items like those the user had, and what users like this one had."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse

from interest.batch import Floats, Longs
from ranking.baselines.base import REQUESTS_AT_ONCE, LastFit, Settings, grid, number, optional
from ranking.baselines.data import Requests, World, fitted_matrix, history_matrix


class ItemKnn:
    """Item-based collaborative filtering: cosine with `shrink` added to the denominator, the best `neighbours` kept.

    Sarwar, B. et al. (2001), "Item-based collaborative filtering recommendation algorithms". A user's score of an
    item is the sum of its similarities to the user's items, decayed by their age.
    """

    name = "item-kNN"
    grid = grid(
        neighbours=(50, 200), shrink=(10.0, 100.0), fit_half_life_days=(None, 60.0), half_life_days=(None, 30.0)
    )

    def __init__(self) -> None:
        self._fits = LastFit[scipy.sparse.csr_matrix]()

    def fit(self, world: World, settings: Settings) -> "ItemKnnScorer":
        half_life = optional(settings, "fit_half_life_days")
        neighbours, shrink = int(number(settings, "neighbours")), number(settings, "shrink")
        similarity = self._fits.get_or_make(
            world,
            (neighbours, shrink, half_life),
            lambda: cosine_neighbours(fitted_matrix(world, half_life), neighbours, shrink),
        )
        return ItemKnnScorer(similarity, optional(settings, "half_life_days"))


@dataclass(frozen=True, slots=True)
class ItemKnnScorer:
    similarity: scipy.sparse.csr_matrix  # float32 [items, items]: column j holds the neighbours of item j
    half_life_days: float | None

    def scores(self, requests: Requests) -> Floats:
        history = history_matrix(requests, self.similarity.shape[0], self.half_life_days)
        dense: Floats = (history @ self.similarity).toarray()
        return dense


def cosine_neighbours(matrix: scipy.sparse.csr_matrix, neighbours: int, shrink: float) -> scipy.sparse.csr_matrix:
    """float32 [items, items] from [users, items]: in each column the highest dot / (|i| |j| + shrink), diagonal 0.

    Ties at the last neighbour are broken by the lower item.
    """
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
    dots = scipy.sparse.csr_matrix(matrix.T @ matrix)
    row = np.repeat(np.arange(len(norms)), np.diff(dots.indptr))
    similarity = dots.data / (norms[row] * norms[dots.indices] + shrink)
    similarity[row == dots.indices] = 0.0
    held = scipy.sparse.csr_matrix((similarity.astype(np.float32), dots.indices, dots.indptr), shape=dots.shape)
    return scipy.sparse.csr_matrix(keep_best(held, neighbours).T)


def keep_best(rows: scipy.sparse.csr_matrix, count: int) -> scipy.sparse.csr_matrix:
    """The `count` highest positive entries of each row, ties by the lower column."""
    kept = [np.zeros(0, dtype=np.int64)]
    for start, end in pairwise(rows.indptr.tolist()):
        order = np.lexsort((rows.indices[start:end], -rows.data[start:end]))[:count]
        kept.append(start + order[rows.data[start + order] > 0])
    places = np.concatenate(kept)
    row = np.repeat(np.arange(rows.shape[0]), [len(part) for part in kept[1:]])
    return scipy.sparse.csr_matrix((rows.data[places], (row, rows.indices[places])), shape=rows.shape)


class UserKnn:
    """What the `neighbours` users with the most similar baskets had, by cosine of decayed histories, not oneself."""

    name = "user-kNN"
    grid = grid(fit_half_life_days=(None, 30.0, 60.0), half_life_days=(30.0, 60.0, 120.0), neighbours=(100, 400))

    def fit(self, world: World, settings: Settings) -> "UserKnnScorer":
        matrix = fitted_matrix(world, optional(settings, "fit_half_life_days"))
        return UserKnnScorer(matrix, int(number(settings, "neighbours")), optional(settings, "half_life_days"))


@dataclass(frozen=True, slots=True)
class UserKnnScorer:
    fitted: scipy.sparse.csr_matrix  # [users, items]
    neighbours: int
    half_life_days: float | None

    def scores(self, requests: Requests) -> Floats:
        history = unit_rows(history_matrix(requests, self.fitted.shape[1], self.half_life_days))
        others = unit_rows(self.fitted)
        found = np.zeros((len(requests), self.fitted.shape[1]), dtype=np.float32)
        for start in range(0, len(requests), REQUESTS_AT_ONCE):
            part = slice(start, start + REQUESTS_AT_ONCE)
            likeness = _without_oneself(scipy.sparse.csr_matrix(history[part] @ others.T), requests.user[part])
            found[part] = (keep_best(likeness, self.neighbours) @ self.fitted).toarray()
        return found


def _without_oneself(likeness: scipy.sparse.csr_matrix, user: Longs) -> scipy.sparse.csr_matrix:
    row = np.repeat(np.arange(len(user)), np.diff(likeness.indptr))
    values = np.where(likeness.indices == user[row], np.float32(0.0), likeness.data)
    return scipy.sparse.csr_matrix((values, likeness.indices, likeness.indptr), shape=likeness.shape)


def unit_rows(matrix: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """Rows of length 1; rows of zeros stay."""
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.where(norms > 0, 1.0 / np.where(norms > 0, norms, 1.0), 0.0).astype(np.float32)
    return scipy.sparse.csr_matrix(scipy.sparse.diags(scale) @ matrix)

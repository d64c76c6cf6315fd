"""Matrix factorisation baselines: iALS and BPR as the `implicit` package computes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from interest.batch import Floats, Longs
from interest.errors import InvalidConfig
from ranking.baselines.base import LastFit, Settings, grid, number, optional
from ranking.baselines.data import Requests, World, fitted_matrix, history_matrix

SEED = 0
ITERATIONS = 12  # of iALS


class Ials:
    """Hu, Y., Koren, Y., Volinsky, C. (2008), "Collaborative filtering for implicit feedback datasets".

    The vector of a request is solved anew from its decayed history, so it is of that instant.
    """

    name = "iALS"

    grid = grid(
        factors=(64, 128),
        regularization=(10.0,),
        alpha=(1.0, 10.0),
        fit_half_life_days=(None, 60.0),
        half_life_days=(None, 30.0),
    )

    def __init__(self) -> None:
        self._fits = LastFit[Any]()

    def fit(self, world: World, settings: Settings) -> "IalsScorer":
        key = tuple(settings[name] for name in ("factors", "regularization", "alpha", "fit_half_life_days"))
        model = self._fits.get_or_make(world, key, lambda: _fitted_als(world, settings))
        return IalsScorer(model, world.items, optional(settings, "half_life_days"))


def _fitted_als(world: World, settings: Settings) -> Any:
    with threadpool_limits(1, "blas"):  # from the start: the package warns of more threads than that
        model = _package().als.AlternatingLeastSquares(
            factors=int(number(settings, "factors")),
            regularization=number(settings, "regularization"),
            alpha=number(settings, "alpha"),
            iterations=ITERATIONS,
            use_gpu=False,
            num_threads=1,
            random_state=SEED,
        )
        model.fit(fitted_matrix(world, optional(settings, "fit_half_life_days")), show_progress=False)
    return model


@dataclass(frozen=True, slots=True)
class IalsScorer:
    model: Any
    items: int
    half_life_days: float | None

    def scores(self, requests: Requests) -> Floats:
        history = history_matrix(requests, self.items, self.half_life_days)
        with threadpool_limits(1, "blas"):
            vectors = self.model.recalculate_user(np.arange(len(requests)), history)
            found: Floats = (vectors @ self.model.item_factors.T).astype(np.float32)
        return _above_zero(found)


class Bpr:
    """Rendle, S. et al. (2009), "BPR: Bayesian personalized ranking from implicit feedback".

    A user's vector is the one that was learned; somebody who was not in the fitted data gets the mean item order.
    """

    name = "BPR"
    grid = grid(factors=(32, 64), learning_rate=(0.05,), regularization=(0.003, 0.01, 0.03), iterations=(100,))

    def fit(self, world: World, settings: Settings) -> "BprScorer":
        model = _package().bpr.BayesianPersonalizedRanking(
            factors=int(number(settings, "factors")),
            learning_rate=number(settings, "learning_rate"),
            regularization=number(settings, "regularization"),
            iterations=int(number(settings, "iterations")),
            use_gpu=False,
            num_threads=1,
            random_state=SEED,
        )
        with threadpool_limits(1, "blas"):
            model.fit(fitted_matrix(world, None), show_progress=False)
        fitted = np.bincount(world.fitted.item, minlength=world.items) > 0
        return BprScorer(np.asarray(model.user_factors), np.asarray(model.item_factors), np.flatnonzero(~fitted))


@dataclass(frozen=True, slots=True)
class BprScorer:
    users: Floats  # [users, D + 1], the last column 1: that of the items holds their bias
    items: Floats  # [items, D + 1]
    unknown: Longs  # items that nobody touched in the fitted data: their vectors are noise

    def scores(self, requests: Requests) -> Floats:
        stranger = self.users.mean(axis=0)
        vectors = np.where(requests.user[:, None] >= 0, self.users[requests.user], stranger)
        found = _above_zero((vectors @ self.items.T).astype(np.float32))
        found[:, self.unknown] = 0.0
        return found


def _above_zero(scores: Floats) -> Floats:
    """The same order with every score above 0: these models say nothing by the sign."""
    lowest = scores.min(axis=1, keepdims=True, initial=0.0)
    positive: Floats = scores - lowest + np.float32(1e-6)
    return positive


def _package() -> Any:
    """The `implicit` package, which only an evaluation needs. Raises `InvalidConfig` when it is not installed."""
    try:
        import implicit.als
        import implicit.bpr
    except ImportError as error:
        raise InvalidConfig(
            "implicit: not installed, and iALS and BPR need it; pip install 'attune[evaluation]'"
        ) from error
    return implicit

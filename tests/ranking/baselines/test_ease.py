"""EASE against the closed form, written out with an ordinary inverse."""

import numpy as np
import scipy.sparse
from numpy.testing import assert_allclose

from interest.batch import Doubles
from ranking.baselines.data import World, fitted_matrix, history_matrix, requests_of
from ranking.baselines.ease import Ease, ease_weights


def slow_ease(matrix: Doubles, l2: float) -> Doubles:
    """Each column by itself: ridge regression of item j on all other items, which is what EASE solves."""
    items = matrix.shape[1]
    weights = np.zeros((items, items))
    for j in range(items):
        others = [i for i in range(items) if i != j]
        x = matrix[:, others]
        weights[others, j] = np.linalg.solve(x.T @ x + l2 * np.eye(items - 1), x.T @ matrix[:, j])
    return weights


def test_the_weights_are_those_of_one_ridge_regression_an_item() -> None:
    matrix = np.random.default_rng(1).random((40, 9)) * (np.random.default_rng(2).random((40, 9)) < 0.4)
    found = ease_weights(scipy.sparse.csr_matrix(matrix.astype(np.float32)), 3.0)
    assert_allclose(found, slow_ease(matrix, 3.0), atol=2e-5)


def test_the_history_times_the_weights_scores_the_items_with_two_users(world: World) -> None:
    settings = {"l2": 10.0, "fit_half_life_days": 30.0, "half_life_days": 20.0}
    requests = requests_of(np.arange(5), np.full(5, 60.0 * 86_400), world.live, exclude_seen=False)
    scores = Ease().fit(world, settings).scores(requests)
    weights = slow_ease(fitted_matrix(world, 30.0).toarray()[:, :11].astype(np.float64), 10.0)
    assert_allclose(scores[:, :11], history_matrix(requests, 12, 20.0).toarray()[:, :11] @ weights, atol=2e-5)
    assert not scores[:, 11].any(), "nobody touched the last item"

"""Bootstrap intervals against the normal approximation and against a slow resampling by index."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ranking.bootstrap import mean_intervals


@pytest.mark.thorough
def test_the_interval_is_that_of_the_normal_approximation_for_many_users() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, (2_000, 1))
    found = mean_intervals(values, np.random.default_rng(2))
    error = 1.96 * values.std() / np.sqrt(2_000)
    assert_allclose([found.low[0], found.high[0]], [values.mean() - error, values.mean() + error], atol=0.003)


def test_weights_do_what_drawing_users_by_index_does() -> None:
    values = np.random.default_rng(3).exponential(1.0, (40, 2))
    rng = np.random.default_rng(4)
    drawn = np.array([values[rng.integers(0, 40, 40)].mean(axis=0) for _ in range(10_000)])
    found = mean_intervals(values, np.random.default_rng(5))
    assert_allclose(found.low, np.quantile(drawn, 0.025, axis=0), atol=0.02)
    assert_allclose(found.high, np.quantile(drawn, 0.975, axis=0), atol=0.02)


def test_columns_are_resampled_together_and_the_same_seed_gives_the_same_interval() -> None:
    column = np.random.default_rng(6).random(30)
    values = np.stack([column, column, np.zeros(30)], axis=1)
    first, again = (mean_intervals(values, np.random.default_rng(7), resamples=500) for _ in range(2))
    assert first.low[0] == first.low[1]
    assert (first.low[2], first.high[2]) == (0.0, 0.0)
    assert_array_equal(first.low, again.low)


def test_no_users_have_an_interval_of_zero() -> None:
    assert_array_equal(mean_intervals(np.zeros((0, 2)), np.random.default_rng(0)).high, [0.0, 0.0])

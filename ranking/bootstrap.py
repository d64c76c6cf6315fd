"""Bootstrap intervals of means over users, paired: every column is resampled with the same users."""

from dataclasses import dataclass

import numpy as np

from interest.batch import Doubles

RESAMPLES = 10_000
RESAMPLES_AT_ONCE = 200
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Intervals:
    """Of M columns: the mean, and the percentile interval of the resampled means. All float64 [M]."""

    mean: Doubles
    low: Doubles
    high: Doubles


def mean_intervals(
    values: Doubles, rng: np.random.Generator, resamples: int = RESAMPLES, level: float = LEVEL
) -> Intervals:
    """Intervals of the column means of `values` [users, M]; zeros for no users.

    The percentile bootstrap of Efron, B., Tibshirani, R. (1993), "An introduction to the bootstrap", chapter 13: how
    often each user is drawn is multinomial, so a resample is one row of weights.
    """
    users, columns = values.shape
    if users == 0:
        return Intervals(np.zeros(columns), np.zeros(columns), np.zeros(columns))
    means = np.empty((resamples, columns))
    chances = np.full(users, 1.0 / users)
    for start in range(0, resamples, RESAMPLES_AT_ONCE):
        size = min(RESAMPLES_AT_ONCE, resamples - start)
        means[start : start + size] = rng.multinomial(users, chances, size=size) @ values / users
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return Intervals(values.mean(axis=0), low, high)

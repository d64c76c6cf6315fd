"""Off-policy estimates: what another ranking would have earned, from a log of what was shown and how likely that was.

Every row is one place of one logged list (an item-position model: a place earns by itself, given the items above it).
The estimates are of the mean reward of a place that the target policy fills below what was logged above it.
"""

from dataclasses import dataclass

import numpy as np

from interest.batch import Doubles, Longs

ROUNDS = 1000  # of the bootstrap
FEW = 100  # effective samples below which an estimate is called unreliable


@dataclass(frozen=True, slots=True)
class LoggedPlaces:
    """n places; `cluster` names the rows that are not independent of each other, such as those of one list."""

    reward: Doubles  # [n]
    propensity: Doubles  # [n] probability of the logged item at its place under the logging policy, above 0 to 1
    target: Doubles  # [n] the same under the target policy
    predicted: Doubles  # [n] expected reward of the logged item by a model
    predicted_target: Doubles  # [n] expected reward by that model over what the target policy would show
    cluster: Longs  # [n]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OffPolicyReport:
    """All estimates over the same rows; `mean_weight` is 1 in expectation when the log is fit for the target."""

    places: int
    logged: Estimate  # what the logging policy earned
    ips: Estimate
    snips: Estimate
    dr: Estimate
    mean_weight: Estimate
    effective_sample: float  # (sum of weights)^2 / sum of squared weights: Kish, L. (1965), "Survey sampling"
    warnings: tuple[str, ...]


def off_policy(log: LoggedPlaces, rng: np.random.Generator, rounds: int = ROUNDS) -> OffPolicyReport:
    """IPS, self-normalised IPS and doubly robust estimates with percentile intervals over resampled clusters.

    With w = target / propensity, r the reward, q the model's prediction of the logged item and v of the target:
    IPS = mean(w r): Horvitz, D., Thompson, D. (1952); SNIPS = sum(w r) / sum(w): Swaminathan, A., Joachims, T. (2015),
    "The self-normalized estimator for counterfactual learning"; DR = mean(v + w (r - q)): Dudik, M., Langford, J.,
    Li, L. (2011), "Doubly robust policy evaluation and learning". Raises ValueError for no rows, or a propensity that
    is not above 0 and at most 1.
    """
    _check(log)
    weight = log.target / log.propensity
    corrected = log.predicted_target + weight * (log.reward - log.predicted)
    columns = np.stack([np.ones(len(weight)), log.reward, weight * log.reward, weight, corrected], axis=1)
    _, cluster = np.unique(log.cluster, return_inverse=True)
    sums: Doubles = np.zeros((int(cluster.max()) + 1, columns.shape[1]))  # [clusters, 5]
    np.add.at(sums, cluster, columns)
    whole = _values(sums.sum(axis=0)[None])
    resampled = _values(np.stack([_resampled(sums, rng) for _ in range(rounds)]))
    logged, ips, snips, dr, mean_weight = (
        _estimate(value, drawn) for value, drawn in zip(whole[0].tolist(), resampled.T, strict=True)
    )
    squares = float((weight * weight).sum())
    effective = float(weight.sum()) ** 2 / squares if squares > 0 else 0.0
    warnings = _warnings(effective, mean_weight)
    return OffPolicyReport(len(weight), logged, ips, snips, dr, mean_weight, effective, warnings)


def reward_model(item: Longs, position: Longs, reward: Doubles, fold: Longs, strength: float = 10.0) -> "RewardModel":
    """Clicks over expected clicks: Zhang, W., Jones, R. (2007), "Comparing click logs and editorial labels".

    The expected reward of an item at a place is that place's mean times the item's own share of what its places let
    expect, drawn towards 1 by `strength` expected rewards. Fitted apart from each fold of `fold` [n] (0 or 1), so that
    a row is never predicted from itself. All arrays [n].
    """
    places, items = int(position.max(initial=0)) + 1, int(item.max(initial=0)) + 1
    by_place, by_item = np.zeros((2, places)), np.ones((2, items))
    for held in (0, 1):
        kept = fold != held
        shown = np.bincount(position[kept], minlength=places)
        overall = float(reward[kept].mean()) if kept.any() else 0.0
        by_place[held] = (np.bincount(position[kept], reward[kept], minlength=places) + overall) / (shown + 1)
        expected = np.bincount(item[kept], by_place[held][position[kept]], minlength=items)
        by_item[held] = (np.bincount(item[kept], reward[kept], minlength=items) + strength) / (expected + strength)
    return RewardModel(by_place, by_item)


@dataclass(frozen=True, slots=True)
class RewardModel:
    """`by_place` [2, places] mean rewards and `by_item` [2, items] factors, for rows of fold 0 and of fold 1."""

    by_place: Doubles
    by_item: Doubles

    def predict(self, item: Longs, position: Longs, fold: Longs) -> Doubles:
        """Expected rewards [n]; an item of -1 is one that the model does not know: the place's mean."""
        known = item >= 0
        factor = np.where(known, self.by_item[fold, np.where(known, item, 0)], 1.0)
        expected: Doubles = self.by_place[fold, position] * factor
        return expected


def _check(log: LoggedPlaces) -> None:
    if not len(log.reward):
        raise ValueError("no places: an estimate needs at least one")
    wrong = ~((log.propensity > 0) & (log.propensity <= 1))
    if wrong.any():
        raise ValueError(f"propensity={log.propensity[wrong][0]:g}: must be above 0 and at most 1")


def _resampled(sums: Doubles, rng: np.random.Generator) -> Doubles:
    """Column sums over as many clusters as there are, drawn with replacement."""
    times = np.bincount(rng.integers(len(sums), size=len(sums)), minlength=len(sums))
    total: Doubles = times @ sums
    return total


def _estimate(value: float, drawn: Doubles) -> Estimate:
    """NaN bounds where no resample has a value."""
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))


def _values(sums: Doubles) -> Doubles:
    """[m, 5] sums of (1, r, w r, w, DR term) -> [m, 5] logged, IPS, SNIPS, DR, mean weight; NaN for 0 / 0."""
    count, reward, weighted, weight, corrected = sums.T
    snips = np.divide(weighted, weight, out=np.full(len(sums), np.nan), where=weight > 0)
    return np.stack([reward / count, weighted / count, snips, corrected / count, weight / count], axis=1)


def _warnings(effective: float, mean_weight: Estimate) -> tuple[str, ...]:
    found = []
    if effective < FEW:
        found.append(f"effective sample of {effective:.0f} places: below {FEW} the estimates and intervals mean little")
    half = (mean_weight.high - mean_weight.low) / 2
    if not mean_weight.low - half <= 1.0 <= mean_weight.high + half:  # about four standard errors: no false alarms
        found.append(
            f"mean weight {mean_weight.value:.3f} ({mean_weight.low:.3f} to {mean_weight.high:.3f}), expected 1: "
            "the target shows items that were never drawn, or the logged propensities are not the true ones"
        )
    return tuple(found)

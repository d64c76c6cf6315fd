"""Off-policy estimates find the true value of another policy on simulated logs, and a wrong propensity is found out."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from interest.batch import Doubles, Longs
from ranking.exploration import explored
from ranking.off_policy import LoggedPlaces, OffPolicyReport, off_policy, reward_model

ITEMS, LISTS, PLACES = 8, 6_000, 4
EPSILON, HEAD = 0.5, 1
RATES = np.linspace(0.05, 0.5, ITEMS)  # of clicks on each item, at whatever place: the model of the simulation


@pytest.fixture(scope="module")
def simulated() -> tuple[LoggedPlaces, float]:
    """A log of our own exploration over lists by rising rate, and the true value of a target that wants falling rates.

    The true value is over the logged items above, as the estimand says; rewards are clicks.
    """
    rng = np.random.default_rng(17)
    shown, propensity = np.zeros((LISTS, PLACES), dtype=np.int64), np.zeros((LISTS, PLACES))
    for row in range(LISTS):
        shown[row], propensity[row] = explored(range(ITEMS), range(ITEMS), PLACES, EPSILON, HEAD, rng)
    choice = np.array([[max(set(range(ITEMS)) - set(above[:k])) for k in range(PLACES)] for above in shown.tolist()])
    reward = (rng.random(shown.shape) < RATES[shown]).astype(np.float64)
    tail = np.s_[:, HEAD:]
    item, wanted = shown[tail].ravel(), choice[tail].ravel()
    cluster = np.repeat(np.arange(LISTS), PLACES - HEAD)
    position = np.tile(np.arange(HEAD, PLACES), LISTS)
    fold = cluster % 2
    model = reward_model(item, position, reward[tail].ravel(), fold)
    log = LoggedPlaces(
        reward=reward[tail].ravel(),
        propensity=propensity[tail].ravel(),
        target=(item == wanted).astype(np.float64),
        predicted=model.predict(item, position, fold),
        predicted_target=model.predict(wanted, position, fold),
        cluster=cluster,
    )
    return log, float(RATES[wanted].mean())


def report(log: LoggedPlaces) -> OffPolicyReport:
    return off_policy(log, np.random.default_rng(0), rounds=400)


def test_every_estimate_finds_the_true_value_within_its_interval(simulated: tuple[LoggedPlaces, float]) -> None:
    log, truth = simulated
    found = report(log)
    assert abs(found.logged.value - truth) > 0.2  # the two policies are far apart
    for estimate in (found.ips, found.snips, found.dr):
        assert estimate.low <= truth <= estimate.high
        assert estimate.low < estimate.value < estimate.high
    assert found.dr.high - found.dr.low < found.ips.high - found.ips.low  # what the reward model is for
    assert found.warnings == ()


@pytest.mark.thorough
def test_intervals_hold_the_true_value_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held, rounds, rate = 0, 200, 0.3
    for _ in range(rounds):
        drawn = rng.random(800) < 0.25
        log = LoggedPlaces(
            reward=(rng.random(800) < np.where(drawn, rate, 0.1)).astype(float),
            propensity=np.where(drawn, 0.25, 0.75),
            target=drawn.astype(float),
            predicted=np.full(800, 0.2),
            predicted_target=np.full(800, 0.2),
            cluster=np.arange(800),
        )
        estimate = off_policy(log, rng, rounds=200).ips
        held += estimate.low <= rate <= estimate.high
    assert 0.88 <= held / rounds <= 0.99


def test_negative_control_wrong_propensities_are_found_out(simulated: tuple[LoggedPlaces, float]) -> None:
    log, truth = simulated
    drawn = log.propensity < 0.3
    wrong = replace(log, propensity=np.where(drawn, log.propensity * 1.5, log.propensity))
    found = report(wrong)
    assert not found.ips.low <= truth <= found.ips.high
    assert any("mean weight" in warning for warning in found.warnings)


def test_a_target_that_shows_what_was_never_drawn_is_warned_of(simulated: tuple[LoggedPlaces, float]) -> None:
    log, _ = simulated
    found = report(replace(log, target=np.where(np.arange(len(log.target)) % 2, 0.0, log.target)))
    assert any("never drawn" in warning for warning in found.warnings)


def test_few_effective_samples_are_warned_of(simulated: tuple[LoggedPlaces, float]) -> None:
    log, _ = simulated
    few = LoggedPlaces(
        log.reward[:60], log.propensity[:60], log.target[:60], log.predicted[:60], log.predicted_target[:60],
        log.cluster[:60],
    )  # fmt: skip
    found = report(few)
    assert found.effective_sample < 60
    assert any("effective sample" in warning for warning in found.warnings)


def test_the_formulas_on_three_rows() -> None:
    log = LoggedPlaces(
        reward=np.array([1.0, 0.0, 2.0]),
        propensity=np.array([0.5, 1.0, 0.25]),
        target=np.array([1.0, 0.5, 0.25]),
        predicted=np.array([0.5, 0.5, 1.0]),
        predicted_target=np.array([0.4, 0.3, 1.0]),
        cluster=np.arange(3),
    )
    found = report(log)  # weights 2, 0.5, 1
    assert found.logged.value == pytest.approx(1.0)
    assert found.ips.value == pytest.approx((2 + 0 + 2) / 3)
    assert found.snips.value == pytest.approx(4 / 3.5)
    assert found.dr.value == pytest.approx((0.4 + 2 * 0.5 + 0.3 - 0.5 * 0.5 + 1.0 + 1.0) / 3)
    assert found.effective_sample == pytest.approx(3.5**2 / 5.25)


def test_rows_of_one_cluster_are_resampled_together() -> None:
    reward = np.repeat((np.arange(50) % 2).astype(np.float64), 20)
    ones, zeros = np.ones(1000), np.zeros(1000)
    apart = report(LoggedPlaces(reward, ones, ones, zeros, zeros, np.arange(1000)))
    together = report(LoggedPlaces(reward, ones, ones, zeros, zeros, np.repeat(np.arange(50), 20)))
    widths = [found.ips.high - found.ips.low for found in (together, apart)]
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(20), rel=0.25)


def test_a_target_that_never_agrees_with_the_log_has_no_self_normalised_estimate() -> None:
    ones, zeros = np.ones(5), np.zeros(5)
    found = report(LoggedPlaces(ones, ones, zeros, zeros, zeros, np.arange(5)))
    assert (found.ips.value, found.effective_sample) == (0.0, 0.0)
    assert np.isnan([found.snips.value, found.snips.low, found.snips.high]).all()


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.5, float("nan")])
def test_an_impossible_propensity_is_refused(propensity: float) -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="propensity="):
        report(LoggedPlaces(one, np.array([propensity]), one, one, one, np.zeros(1, dtype=np.int64)))


def test_no_places_are_refused() -> None:
    none: Doubles = np.zeros(0)
    with pytest.raises(ValueError, match="no places"):
        report(LoggedPlaces(none, none, none, none, none, np.zeros(0, dtype=np.int64)))


def test_the_reward_model_learns_places_and_items_without_seeing_its_own_rows() -> None:
    rng = np.random.default_rng(4)
    item: Longs = rng.integers(0, 5, 40_000)
    position: Longs = rng.integers(0, 3, 40_000)
    rate = np.array([0.3, 0.2, 0.1])[position] * np.linspace(0.5, 1.5, 5)[item]
    reward = (rng.random(40_000) < rate).astype(np.float64)
    fold = rng.integers(0, 2, 40_000)
    model = reward_model(item, position, reward, fold)
    assert_allclose(model.predict(item, position, fold), rate, atol=0.035)
    other = reward_model(item, position, np.where(fold == 0, 1 - reward, reward), fold)
    zero = np.zeros(3, dtype=np.int64)
    assert_allclose(other.predict(zero, np.arange(3), zero), model.predict(zero, np.arange(3), zero))
    assert_allclose(model.predict(zero - 1, np.arange(3), zero), model.by_place[0])

"""iALS and BPR of the implicit package: the same seed gives the same model, taste is found, absence is explained."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from interest.errors import InvalidConfig
from ranking.baselines.base import Baseline, Settings, rank
from ranking.baselines.data import Interactions, World, requests_of
from ranking.baselines.factors import Bpr, Ials

ALS: Settings = {
    "factors": 8,
    "regularization": 0.1,
    "alpha": 10.0,
    "fit_half_life_days": None,
    "half_life_days": None,
}
BPR: Settings = {"factors": 8, "learning_rate": 0.05, "regularization": 0.01, "iterations": 60}


def two_tastes() -> World:
    """Even users touch items 0-4, odd ones 5-9, each all but one of them; item 10 is touched by nobody."""
    pairs = [(user, 5 * (user % 2) + item) for user in range(40) for item in range(5) if item != user // 2 % 5]
    user, item = np.array(pairs).T
    acts = Interactions(user, item, np.zeros(len(user)))
    return World(40, 11, acts, acts, [""] * 11)


@pytest.mark.parametrize(("baseline", "settings"), [(Ials(), ALS), (Bpr(), BPR)])
def test_the_item_of_the_users_own_taste_that_is_missing_comes_first(baseline: Baseline, settings: Settings) -> None:
    world = two_tastes()
    requests = requests_of(np.arange(40), np.ones(40), world.live, exclude_seen=True)
    first = rank(baseline.fit(world, settings).scores(requests), requests, 11)
    missing = [5 * (user % 2) + user // 2 % 5 for user in range(40)]
    assert np.mean(first[:, 0] == missing) > 0.7  # by chance 1 of 7
    again = rank(type(baseline)().fit(world, settings).scores(requests), requests, 11)
    assert_array_equal(first, again)


def test_bpr_never_recommends_an_item_that_it_has_not_seen() -> None:
    world = two_tastes()
    requests = requests_of(np.array([0, -1]), np.ones(2), world.live, exclude_seen=False)
    assert 10 not in rank(Bpr().fit(world, BPR).scores(requests), requests, 11)


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "implicit.als", None)
    with pytest.raises(InvalidConfig, match=r"attune\[evaluation\]"):
        Ials().fit(two_tastes(), ALS)

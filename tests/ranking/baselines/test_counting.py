"""Counting baselines see what was before the request, and nothing after it."""

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from ranking.baselines.base import rank
from ranking.baselines.counting import OwnCounts, Popularity
from ranking.baselines.data import DAY_S, Interactions, World, requests_of


def small_world() -> World:
    acts = Interactions(
        np.array([0, 1, 1, 2, 0, 2]),
        np.array([0, 0, 1, 1, 1, 2]),
        np.array([0.0, 1.0, 50.0, 60.0, 61.0, 90.0]) * DAY_S,
    )
    return World(3, 4, acts, acts, ["a", "b", "c", "d"])


def test_popularity_counts_acts_in_the_window_up_to_the_instant_of_each_request() -> None:
    world = small_world()
    requests = requests_of(np.array([0, 1]), np.array([55.0, 61.0]) * DAY_S, world.live, exclude_seen=False)
    all_time = Popularity("p", (None,)).fit(world, {"window_days": None}).scores(requests)
    assert_array_equal(all_time, [[2, 1, 0, 0], [2, 3, 0, 0]])
    recent = Popularity("p", (7.0,)).fit(world, {"window_days": 7.0}).scores(requests)
    assert_array_equal(np.floor(recent), [[0, 1, 0, 0], [0, 2, 0, 0]])
    assert_array_equal(rank(recent, requests, 3), [[1, 0, -1], [1, 0, -1]])  # then by all time; the future never


def test_popularity_is_the_same_whatever_happens_later() -> None:
    world = small_world()
    requests = requests_of(np.array([0]), np.array([55.0]) * DAY_S, world.live, exclude_seen=False)
    past = replace(world, live=world.live.take(world.live.time <= 55.0 * DAY_S))
    for settings in Popularity("p", (None, 1.0, 60.0)).grid:
        whole, cut = (Popularity("p", ()).fit(w, settings).scores(requests) for w in (world, past))
        assert_array_equal(whole, cut)


def test_own_counts_are_decayed_and_cut_by_age_and_equal_ones_go_to_the_latest() -> None:
    world = small_world()
    requests = requests_of(np.array([0, 2]), np.array([91.0, 91.0]) * DAY_S, world.live, exclude_seen=False)
    plain = OwnCounts().fit(world, {"window_days": None, "half_life_days": None, "ties": "latest"}).scores(requests)
    assert_allclose(plain, [[1, 1, 0, 0], [0, 1, 1, 0]], atol=2e-4)
    assert_array_equal(rank(plain, requests, 2), [[1, 0], [2, 1]])
    halved = OwnCounts().fit(world, {"window_days": None, "half_life_days": 30.0, "ties": "latest"}).scores(requests)
    assert_allclose(halved[0], [2 ** (-91 / 30), 0.5, 0, 0], atol=2e-4)
    cut = OwnCounts().fit(world, {"window_days": 40.0, "half_life_days": None, "ties": "latest"}).scores(requests)
    assert_allclose(cut[0], [0, 1, 0, 0], atol=2e-4)


def test_equal_own_counts_may_go_to_the_item_that_is_popular_now_which_then_fills_the_list() -> None:
    world = small_world()
    requests = requests_of(np.array([0]), np.array([90.5]) * DAY_S, world.live, exclude_seen=False)
    settings = {"window_days": None, "half_life_days": None, "ties": "popular"}
    assert_array_equal(rank(OwnCounts().fit(world, settings).scores(requests), requests, 4), [[1, 0, 2, -1]])

"""Exploration: what is shown comes as often as its logged propensity says, and a wrong propensity is found out."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ranking.exploration import explored, seed_of

ORDERED = [4, 2, 9, 7, 1, 5, 8]
TAIL = [1, 2, 4, 7, 9]  # 5 and 8 can only come in their turn
ROUNDS = 20_000


def frequencies(logged_epsilon: float, epsilon: float = 0.4) -> list[float]:
    """|z| of every (items above, item): how often it came against the propensity of a policy with `logged_epsilon`."""
    rng = np.random.default_rng(8)
    times: Counter[tuple[int, ...]] = Counter()
    sums: dict[tuple[int, ...], float] = defaultdict(float)
    for _ in range(ROUNDS):
        shown, propensity = explored(ORDERED, TAIL, 4, epsilon, 1, rng)
        if logged_epsilon != epsilon:
            drawn = propensity < 0.5
            propensity = np.where(drawn, propensity * logged_epsilon / epsilon, propensity)
        times[()] += 1
        for place in range(4):
            prefix = tuple(shown[: place + 1].tolist())
            times[prefix] += 1
            sums[prefix] = propensity[place]  # the same every time: it depends on nothing but the prefix
    return [
        abs(times[prefix] - times[prefix[:-1]] * p) / np.sqrt(times[prefix[:-1]] * p * (1 - p))
        for prefix, p in sums.items()
        if times[prefix[:-1]] >= 200 and p < 1
    ]


def test_every_item_comes_at_every_place_as_often_as_its_propensity_says() -> None:
    scores = frequencies(logged_epsilon=0.4)
    assert len(scores) >= 15
    assert max(scores) < 4.0  # of some twenty standard normal values
    assert np.mean(np.square(scores)) < 1.6


def test_negative_control_propensities_of_another_epsilon_do_not_fit() -> None:
    assert max(frequencies(logged_epsilon=0.3)) > 6.0


def test_the_propensities_of_all_items_at_a_place_sum_to_one() -> None:
    total: dict[int, float] = {}
    for seed in range(400):
        shown, propensity = explored(ORDERED, TAIL, 2, 0.5, 0, np.random.default_rng(seed))
        if shown[0] == 4:
            total[int(shown[1])] = float(propensity[1])
    assert set(total) == {2, 9, 7, 1}
    assert sum(total.values()) == pytest.approx(1.0)


def test_the_head_of_the_list_is_never_drawn() -> None:
    for seed in range(200):
        shown, propensity = explored(ORDERED, TAIL, 7, 1.0, 3, np.random.default_rng(seed))
        assert_array_equal(shown[:3], ORDERED[:3])
        assert_array_equal(propensity[:3], 1.0)
        assert sorted(shown.tolist()) == sorted(ORDERED)


def test_an_exhausted_tail_leaves_the_order_of_the_list() -> None:
    shown, propensity = explored(ORDERED, [4], 7, 1.0, 0, np.random.default_rng(0))
    assert_array_equal(shown, ORDERED)
    assert_array_equal(propensity, 1.0)


def test_the_same_seed_gives_the_same_list_and_a_longer_one_begins_alike() -> None:
    lists = [explored(ORDERED, TAIL, k, 0.7, 0, np.random.default_rng(seed_of("rec_1")))[0] for k in (3, 5, 5)]
    assert_array_equal(lists[1], lists[2])
    assert_array_equal(lists[0], lists[1][:3])


def test_ids_have_seeds_of_their_own() -> None:
    assert seed_of("rec_1") == seed_of("rec_1")
    assert len({seed_of(f"rec_{n}") for n in range(1000)}) == 1000

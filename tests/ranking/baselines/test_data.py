"""Histories end at the instant of the request; matrices count each pair as they say."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from ranking.baselines.data import DAY_S, Interactions, decayed, latest_matrix, requests_of, summed_matrix

ACTS = Interactions(np.array([0, 0, 1, 0]), np.array([2, 1, 0, 2]), np.array([10.0, 20.0, 5.0, 30.0]))


def test_a_history_holds_what_the_user_did_up_to_the_instant_and_nothing_later() -> None:
    requests = requests_of(np.array([0, 1, 0]), np.array([20.0, 4.0, 99.0]), ACTS, exclude_seen=True)
    assert_array_equal(requests.history.user, [0, 0, 2, 2, 2])
    assert_array_equal(requests.history.item, [2, 1, 2, 1, 2])
    assert_array_equal(requests.ages_s(), [10.0, 0.0, 89.0, 79.0, 69.0])


def test_somebody_unknown_has_no_history() -> None:
    requests = requests_of(np.array([-1]), np.array([99.0]), ACTS, exclude_seen=True)
    assert len(requests) == 1
    assert len(requests.history) == 0


def test_the_latest_act_of_a_pair_stands_for_it_and_sums_count_them_all() -> None:
    weights = decayed(30.0 - ACTS.time, 10.0 / DAY_S)
    assert_allclose(latest_matrix(ACTS, weights, (2, 3)).toarray(), [[0, 0.5, 1.0], [2**-2.5, 0, 0]], rtol=1e-6)
    assert_allclose(summed_matrix(ACTS, weights, (2, 3)).toarray(), [[0, 0.5, 1.25], [2**-2.5, 0, 0]], rtol=1e-6)


def test_without_a_half_life_nothing_decays() -> None:
    assert_array_equal(decayed(np.array([0.0, 1e9]), None), [1.0, 1.0])

"""The order of scores against NumPy's sort of two columns."""

import numpy as np

from ranking.score_order import PLACE_BITS, SORTED_WHOLE, falling, top


def test_the_best_of_many_are_those_of_a_full_sort_ties_included() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 50, size=3 * SORTED_WHOLE).astype(np.float32)
    keys = rng.permutation(len(scores))
    for k in (1, 7, 300, SORTED_WHOLE + 1, len(scores), len(scores) + 5):
        np.testing.assert_array_equal(top(keys, scores, k), np.lexsort((keys, -scores))[:k])


def test_few_scores_of_any_kind_come_in_the_order_of_a_full_sort() -> None:
    special = np.array([0.0, -0.0, np.inf, -np.inf, 1e-42, -1e-42, 3.5, -3.5, np.nan], dtype=np.float32)
    rng = np.random.default_rng(2)
    for _ in range(50):
        scores = rng.choice(special, size=40)
        keys = rng.permutation(40)
        for k in (1, 10, 40):
            np.testing.assert_array_equal(top(keys, scores, k), np.lexsort((keys, -scores))[:k])
            np.testing.assert_array_equal(top(np.sort(keys), scores, k), np.argsort(-scores, kind="stable")[:k])


def test_nothing_has_no_best() -> None:
    assert not len(top(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), 5))


def test_numbers_rise_as_scores_fall_and_hold_their_place() -> None:
    scores = np.array([[1.0, 2.0, 2.0, np.nan], [-1.0, -2.0, 0.0, -0.0]], dtype=np.float32)
    numbers = np.sort(falling(scores, np.arange(4)), axis=1)
    np.testing.assert_array_equal(numbers & PLACE_BITS, [[1, 2, 0, 3], [2, 3, 0, 1]])

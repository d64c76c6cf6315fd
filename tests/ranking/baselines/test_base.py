"""From scores to lists: exclusion, ties, padding; grids and the one fit that is remembered."""

import numpy as np
from numpy.testing import assert_array_equal

from ranking.baselines.base import LastFit, grid, rank
from ranking.baselines.data import Interactions, Requests, World

NOTHING = Interactions(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))


def requests(exclude_seen: bool) -> Requests:
    seen = Interactions(np.array([1]), np.array([0]), np.array([1.0]))
    return Requests(np.array([0, 1]), np.array([5.0, 5.0]), seen, exclude_seen)


def test_best_first_ties_by_the_lower_row_and_nothing_without_a_score() -> None:
    scores = np.array([[1, 3, 3, 0], [5, 1, 2, -1]], dtype=np.float32)
    assert_array_equal(rank(scores, requests(exclude_seen=False), 3), [[1, 2, 0], [0, 2, 1]])
    assert_array_equal(rank(scores, requests(exclude_seen=True), 3), [[1, 2, 0], [2, 1, -1]])
    assert scores[1, 0] == 5, "the caller's scores stay as they are"


def test_of_many_equal_scores_the_lowest_rows_are_taken() -> None:
    scores = np.ones((2, 50), dtype=np.float32)
    assert_array_equal(rank(scores, requests(exclude_seen=False), 4), [[0, 1, 2, 3]] * 2)


def test_ranking_agrees_with_a_full_sort_on_random_scores() -> None:
    scores = np.random.default_rng(3).integers(-3, 9, (2, 300)).astype(np.float32)
    slow = [
        [row for _, row in sorted((-s, row) for row, s in enumerate(line) if s > 0)][:7] for line in scores.tolist()
    ]
    assert_array_equal(rank(scores, requests(exclude_seen=False), 7), slow)


def test_more_places_than_items_are_padded() -> None:
    assert_array_equal(
        rank(np.array([[1, 2], [1, 0]], dtype=np.float32), requests(False), 3), [[1, 0, -1], [0, -1, -1]]
    )


def test_the_last_name_of_a_grid_varies_fastest() -> None:
    assert grid(a=(1.0, 2.0), b=(None, "x")) == (
        {"a": 1.0, "b": None},
        {"a": 1.0, "b": "x"},
        {"a": 2.0, "b": None},
        {"a": 2.0, "b": "x"},
    )


def test_a_fit_is_made_anew_for_another_key_or_another_world() -> None:
    one, other = World(1, 1, NOTHING, NOTHING, ["a"]), World(1, 1, NOTHING, NOTHING, ["a"])
    fits, made = LastFit[int](), []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [fits.get_or_make(one, "k", make), fits.get_or_make(one, "k", make)] == [1, 1]
    assert [fits.get_or_make(one, "l", make), fits.get_or_make(other, "l", make)] == [2, 3]

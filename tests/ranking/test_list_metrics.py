"""Beyond accuracy: diversity, coverage, Gini and novelty against hand-made numbers and slow obvious loops."""

import math
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Doubles, Floats, Longs
from ranking.list_metrics import beyond_accuracy, coverage, gini, intra_list_diversity, novelty


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def slow_diversity(ranked: Longs, content: Floats) -> Doubles:
    found = []
    for row in ranked:
        pairs = list(combinations([content[item].astype(np.float64) for item in row if item >= 0], 2))
        distances = [1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b) or 1.0) for a, b in pairs]
        found.append(np.mean(distances) if distances else 0.0)
    return np.array(found)


def slow_gini(amounts: Doubles) -> float:
    """Mean absolute difference over twice the mean: the definition."""
    return float(np.abs(amounts[:, None] - amounts[None, :]).mean() / (2 * amounts.mean()))


def lists(rng: np.random.Generator, users: int, k: int, items: int) -> Longs:
    ranked = np.array([rng.permutation(items)[:k] for _ in range(users)], dtype=np.int64)
    ranked[rng.random(ranked.shape) < 0.2] = -1
    return ranked


def test_lists_of_equal_items_have_no_diversity_and_of_orthogonal_ones_have_one() -> None:
    content = np.array([[2, 0], [2, 0], [0, 3], [-1, 0]], dtype=np.float32)
    ranked = np.array([[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, -1, -1], [-1, -1, -1]])
    assert_allclose(intra_list_diversity(ranked, content), [0.0, 1.0, 2.0, 0.0, 0.0])


def test_diversity_is_the_mean_over_pairs(rng: np.random.Generator) -> None:
    content = rng.normal(size=(40, 8)).astype(np.float32)
    content[5] = 0.0
    ranked = lists(rng, 2000, 7, 40)
    assert_allclose(intra_list_diversity(ranked, content), slow_diversity(ranked, content), atol=1e-12)


def test_diversity_of_a_catalogue_without_content_is_that_of_strangers() -> None:
    assert_array_equal(intra_list_diversity(np.array([[0, 1]]), np.zeros((2, 0), dtype=np.float32)), [1.0])


def test_coverage_counts_each_item_once() -> None:
    assert coverage(np.array([[0, 1, -1], [1, 2, 0]]), 6) == 0.5
    assert coverage(np.full((2, 3), -1), 6) == 0.0
    assert coverage(np.zeros((0, 3), dtype=np.int64), 0) == 0.0


def test_gini_is_nought_for_equal_exposure_and_nearly_one_for_a_single_item() -> None:
    assert gini(np.arange(10).reshape(2, 5), 10) == 0.0
    assert gini(np.full((7, 1), 3), 10) == pytest.approx(0.9)
    assert gini(np.full((7, 1), -1), 10) == 0.0


def test_gini_is_half_the_relative_mean_difference(rng: np.random.Generator) -> None:
    ranked = lists(rng, 50, 6, 30) // 2
    ranked[ranked < 0] = -1
    shown = np.bincount(ranked[ranked >= 0], minlength=30).astype(np.float64)
    assert gini(ranked, 30) == pytest.approx(slow_gini(shown), abs=1e-12)


def test_novelty_is_the_mean_number_of_bits() -> None:
    counts = np.array([8.0, 4.0, 0.0, 16.0])
    ranked = np.array([[0, 1], [2, -1], [3, 3], [-1, -1]])
    assert_allclose(novelty(ranked, counts, 16), [1.5, math.log2(32), 0.0, 0.0])


def test_novelty_refuses_more_users_of_an_item_than_there_are() -> None:
    with pytest.raises(ValueError, match=r"an item has 5 users, there are 4"):
        novelty(np.array([[0]]), np.array([5.0]), 4)


def test_all_four_together_are_the_four(rng: np.random.Generator) -> None:
    ranked, content = lists(rng, 20, 5, 30), rng.normal(size=(30, 4)).astype(np.float32)
    counts = rng.integers(0, 9, 30).astype(np.float64)
    found = beyond_accuracy(ranked, content, counts, 10)
    assert found.intra_list_diversity == pytest.approx(intra_list_diversity(ranked, content).mean())
    assert (found.coverage, found.gini) == (coverage(ranked, 30), gini(ranked, 30))
    assert found.novelty == pytest.approx(novelty(ranked, counts, 10).mean())

"""Ranking metrics against known answers and a slow obvious computation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Longs, ragged_offsets
from ranking.evaluation import coverage_of_ids, metrics_of_ids, padded_ranking, ranking_metrics


def test_known_answers_for_three_users() -> None:
    ranked = np.array([[7, 3, 9, 1], [2, 4, 6, 8], [5, -1, -1, -1]])
    relevant = np.array([1, 3, 50, 99, 5])  # first user: 3 (place 2) and 1 (place 4) of three; second: none of one
    found = ranking_metrics(ranked, np.array([0, 3, 4, 5]), relevant, k=4)
    assert_allclose(found.precision, [0.5, 0.0, 0.25])
    assert_allclose(found.recall, [2 / 3, 0.0, 1.0])
    assert_allclose(found.f1, [4 / 7, 0.0, 0.4])
    gain, ideal = 1 / np.log2(3) + 1 / np.log2(5), 1 + 1 / np.log2(3) + 0.5
    assert_allclose(found.ndcg, [gain / ideal, 0.0, 1.0])
    assert_array_equal(found.hit_rate, [1.0, 0.0, 1.0])
    assert found.means()["hit_rate"] == pytest.approx(2 / 3)


def test_the_ideal_holds_at_most_k_items() -> None:
    found = ranking_metrics(np.array([[1, 2]]), np.array([0, 5]), np.arange(5), k=2)
    assert_allclose(found.ndcg, [1.0])
    assert_allclose(found.recall, [0.4])


def test_only_the_first_k_places_count() -> None:
    found = ranking_metrics(np.array([[9, 8, 1]]), np.array([0, 1]), np.array([1]), k=2)
    assert_array_equal(found.hit_rate, [0.0])


def test_fewer_than_k_places_are_no_hits_beyond_them() -> None:
    found = ranking_metrics(np.array([[1]]), np.array([0, 1]), np.array([1]), k=10)
    assert_allclose(found.ndcg, [1.0])
    assert_allclose(found.precision, [0.1])


def test_no_users_and_users_without_relevant_items_score_zero() -> None:
    nobody = ranking_metrics(np.zeros((0, 3), dtype=np.int64), np.array([0]), np.zeros(0, dtype=np.int64), k=3)
    assert nobody.means() == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "ndcg": 0.0, "hit_rate": 0.0}
    without = ranking_metrics(np.array([[1, 2]]), np.array([0, 0]), np.zeros(0, dtype=np.int64), k=2)
    assert_array_equal(without.ndcg, [0.0])


def test_the_fast_path_agrees_with_a_loop_over_users() -> None:
    rng = np.random.default_rng(11)
    ranked = np.stack([rng.permutation(60)[:20] for _ in range(50)])
    relevant = [np.sort(rng.permutation(60)[: rng.integers(1, 15)]) for _ in range(50)]
    found = ranking_metrics(ranked, ragged_offsets([len(part) for part in relevant]), np.concatenate(relevant), k=10)
    assert_allclose(found.ndcg, [slow_ndcg(row, part, 10) for row, part in zip(ranked, relevant, strict=True)])


def test_padding_cuts_long_lists_and_fills_short_ones() -> None:
    found = padded_ranking(np.array([0, 3, 3, 4]), np.array([5, 6, 7, 8]), width=2)
    assert_array_equal(found, [[5, 6], [-1, -1], [8, -1]])


def slow_ndcg(ranked: Longs, relevant: Longs, k: int) -> float:
    wanted = set(relevant.tolist())
    gain = sum(1 / np.log2(place + 2) for place, item in enumerate(ranked[:k].tolist()) if item in wanted)
    return float(gain / sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted)))))


def test_metrics_of_ids_are_those_of_keys_and_unknown_relevant_items_are_never_found() -> None:
    rankings, relevant = [["a", "b", "c"], ["c"], []], ["b", "z", "a", "b"]
    found = metrics_of_ids(rankings, np.array([0, 2, 3, 4]), relevant, k=2)
    keys = np.array([[0, 1], [2, -1], [-1, -1]])
    expected = ranking_metrics(keys, np.array([0, 2, 3, 4]), np.array([1, 9, 0, 1]), k=2)
    assert found.means() == expected.means()
    assert_array_equal(found.recall, [0.5, 0.0, 0.0])


def test_coverage_is_the_share_of_items_that_anybody_is_shown() -> None:
    assert coverage_of_ids([["a", "b"], ["b", "c"], []], 12) == 0.25
    assert coverage_of_ids([["a", "b"]], 1) == 1.0  # the catalogue shrank meanwhile
    assert coverage_of_ids([], 0) == 0.0

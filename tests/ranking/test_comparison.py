"""Methods side by side: the best baseline is found, and differences are to it."""

import numpy as np
import pytest

from ranking.comparison import Lists, Truth, compare

TRUTH = Truth(
    offsets=np.array([0, 1, 2, 3]),
    relevant=np.array([0, 1, 2]),
    content=np.eye(4, dtype=np.float32),
    counts=np.array([3.0, 1.0, 1.0, 0.0]),
    users=3,
)


def lists(name: str, first: list[int]) -> Lists:
    ranked = np.full((3, 20), -1, dtype=np.int64)
    ranked[:, 0] = first
    return Lists(name, ranked, {"setting": 1}, 4)


def test_the_baseline_with_the_highest_ndcg_is_what_others_are_measured_against() -> None:
    found = compare([lists("ours", [0, 1, 2])], [lists("bad", [3, 3, 3]), lists("good", [0, 1, 3])], TRUTH)
    assert (found.users, found.best_baseline) == (3, "good")
    ours, good = found.methods[2], found.methods[1]
    assert (ours.name, ours.metrics["ndcg@10"]) == ("ours", 1.0)
    assert ours.metrics["precision@20"] == pytest.approx(1 / 20)
    mean, low, high = ours.differences["ndcg@10"]
    assert mean == pytest.approx(1 / 3)
    assert low <= mean <= high
    assert good.differences["ndcg@10"] == (0.0, 0.0, 0.0)
    assert (ours.lists.coverage, good.lists.coverage) == (0.75, 0.75)
    assert found.to_json()["methods"][0]["tried"] == 4


def test_without_baselines_the_difference_is_to_oneself() -> None:
    found = compare([lists("ours", [0, 1, 2])], [], TRUTH)
    assert found.methods[0].differences["recall@20"] == (0.0, 0.0, 0.0)

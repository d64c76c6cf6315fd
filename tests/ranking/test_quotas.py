"""Quotas of the sources: recall against a loop, and the ascent towards the source that finds what is wanted."""

import numpy as np
import pytest

from interest.batch import Longs
from ranking.quotas import LEAST, fit_quotas, source_lists


def random_lists(rng: np.random.Generator, queries: int) -> tuple[list[list[Longs]], list[Longs]]:
    lists = [[rng.permutation(60)[: rng.integers(0, 30)] for _ in range(3)] for _ in range(queries)]
    return lists, [np.unique(rng.integers(0, 60, rng.integers(1, 6))) for _ in range(queries)]


def test_recall_agrees_with_a_loop_over_queries() -> None:
    rng = np.random.default_rng(0)
    lists, wanted = random_lists(rng, 40)
    quotas = [5.0, 0.0, 2.0]
    shares = []
    for named, keys in zip(lists, wanted, strict=True):
        place: dict[int, float] = {}
        for quota, source in zip(quotas, named, strict=True):
            for rank, key in enumerate(source.tolist()):
                if quota:
                    place[key] = min(place.get(key, np.inf), (rank + 1) / quota)
        limit = sorted(place.values())[min(10, len(place)) - 1] if place else 0.0
        chosen = {key for key, at in place.items() if at <= limit}
        shares.append(len(chosen & set(keys.tolist())) / len(keys))
    assert source_lists(lists, wanted).recall(quotas, 10) == pytest.approx(np.mean(shares))


def test_the_source_that_finds_what_is_wanted_gets_most_candidates_and_none_is_lost() -> None:
    rng = np.random.default_rng(1)
    wanted = [np.sort(rng.permutation(1_000)[:20]) for _ in range(60)]
    lists = [[rng.permutation(1_000)[:100], np.concatenate([keys, rng.permutation(1_000)[:80]])] for keys in wanted]
    found = source_lists(lists, wanted)
    start = {"blind": 1, "seeing": 1}
    quotas = fit_quotas(found, start, 25)
    assert quotas["seeing"] > 5 * quotas["blind"]
    assert quotas["blind"] >= LEAST
    assert found.recall(list(quotas.values()), 25) > found.recall([1, 1], 25) + 0.2

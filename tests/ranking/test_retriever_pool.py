"""A retriever with a pool: who is asked for fewer than it holds gets a choice of it, by the rules of every answer."""

from dataclasses import replace

import numpy as np
import pytest

from interest.events import EventType
from tests.ranking.shelf import NOW, alike, boosts, of, pool_trees, requests, retriever, users

POOL = 200


@pytest.fixture(scope="module")
def trees() -> str:
    return pool_trees()


def test_candidates_are_chosen_from_the_pool_with_the_scores_that_they_have_there(trees: str) -> None:
    plain, pooled = (retriever(np.random.default_rng(1), pool) for pool in (None, (trees, POOL)))
    batch = users(np.random.default_rng(2), [{3: EventType.PURCHASE}, {}])
    everything = plain.retrieve(batch, requests([POOL, POOL]))
    chosen = pooled.retrieve(batch, requests([30, 50]))
    few = plain.retrieve(batch, requests([30, 50]))
    for user, count in enumerate((30, 50)):
        keys, scores = of(chosen, user)
        all_keys, all_scores = of(everything, user)
        assert len(keys) == count
        assert set(keys.tolist()) <= set(all_keys.tolist())
        assert set(keys.tolist()) != set(of(few, user)[0].tolist()), "the trees chose"
        np.testing.assert_array_equal(scores, all_scores[np.searchsorted(all_keys, keys)])


def test_nobody_gets_fewer_or_others_than_are_eligible(trees: str) -> None:
    pooled = retriever(np.random.default_rng(1), (trees, POOL))
    batch = users(np.random.default_rng(2), [{3: EventType.PURCHASE, 5: EventType.HIDE}] * 3)
    own: list[list[int] | None] = [None, [7, 8, 9], None]
    answer = pooled.retrieve(batch, requests([10, 1, 300], exclude_seen=True, exclude=[[11], [], []], given=own))
    assert np.diff(answer.candidate_offsets).tolist() == [10, 3, 300]  # a given candidate is never chosen away
    for user in (0, 2):
        assert not {3, 5} & set(of(answer, user)[0].tolist())
    assert 11 not in of(answer, 0)[0]
    narrow = pooled.retrieve(batch, requests([50] * 3, expression="price < 2", created_until=[NOW] * 3))
    assert 0 < np.diff(narrow.candidate_offsets)[0] < 50


def test_a_choice_is_the_same_alone_as_in_company(trees: str) -> None:
    pooled = retriever(np.random.default_rng(1), (trees, POOL))
    three = alike(users(np.random.default_rng(2), [{3: EventType.PURCHASE}] * 3))
    together = pooled.retrieve(three, requests([20, 40, 20]))
    vectors = ("vector", "recent_vector", "session_vector", "content")
    one = replace(
        users(np.random.default_rng(2), [{3: EventType.PURCHASE}]),
        **{name: getattr(three, name)[:1] for name in vectors},
    )
    np.testing.assert_array_equal(of(pooled.retrieve(one, requests([20])), 0)[0], of(together, 0)[0])
    np.testing.assert_array_equal(of(together, 0)[0], of(together, 2)[0])


def test_what_a_factor_lifts_stays_among_the_candidates(trees: str) -> None:
    pooled = retriever(np.random.default_rng(1), (trees, POOL))
    batch = alike(users(np.random.default_rng(2), [{}, {}]))
    dear = "price >= 45"
    answer = pooled.retrieve(batch, requests([40, 40]), boosts([(dear, 2.0)], []))
    plain = pooled.retrieve(batch, requests([40, 40]))
    np.testing.assert_array_equal(of(answer, 1)[0], of(plain, 1)[0])
    pool = of(pooled.retrieve(batch, requests([POOL, POOL])), 0)[0]
    lifted = {key for key in pool.tolist() if key % 50 >= 45}
    assert 0 < len(lifted) <= 40
    assert lifted <= set(of(answer, 0)[0].tolist())
    assert not lifted <= set(of(plain, 0)[0].tolist())

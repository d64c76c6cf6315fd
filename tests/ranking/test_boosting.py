"""Boosters: a factor lifts or lowers what its filter matches, by as much for everyone, and moves nothing else."""

import math
from dataclasses import replace

import numpy as np
import pytest

from interest.batch import Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import Catalogue
from interest.features import facet_hash
from interest.items import Item
from interest.store.protocol import ItemChange
from ranking.batch import CandidateBatch, ListWishes, RankedBatch, plain_wishes
from ranking.boosting import MAX_FACTOR, MIN_FACTOR, Boosting, Boosts
from ranking.popularity import Popularity
from ranking.reranker import MUTED_PENALTY, Reranker
from ranking.sources import SCORES

ITEMS = 30


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Every third item is a book, every second one is cheap, item 0 is red."""
    catalogue = Catalogue()
    items = [
        Item(
            item_id=str(key),
            title="",
            categories=("book",) if key % 3 == 0 else (),
            tags=("red",) if key == 0 else (),
            price=1.0 if key % 2 == 0 else 100.0,
        )
        for key in range(ITEMS)
    ]
    catalogue.apply([ItemChange(key + 1, key, item.item_id, item, None, "") for key, item in enumerate(items)])
    return catalogue


def boosts(*each: list[tuple[str, float]]) -> Boosts:
    every = [boost for own in each for boost in own]
    return Boosts(
        boost_offsets=ragged_offsets([len(own) for own in each]),
        boost_filter=np.array([expression for expression, _ in every], dtype=object),
        boost_factor=np.array([factor for _, factor in every], dtype=np.float64),
    )


def strangers(number: int, muted: str = "") -> UserBatch:
    facets = 1 if muted else 0
    none = np.zeros(0)
    return UserBatch(
        now=np.full(number, 1e9),
        vector=np.zeros((number, 1), np.float32),
        recent_vector=np.zeros((number, 1), np.float32),
        session_vector=np.zeros((number, 1), np.float32),
        content=np.zeros((number, 1, 0), np.float32),
        behaviour_offsets=np.zeros(number + 1, np.int64),
        behaviour_item=np.zeros(0, np.int64),
        behaviour_type=np.zeros(0, np.int8),
        behaviour_count=np.zeros(0, np.int32),
        behaviour_value=none,
        behaviour_first_at=none,
        behaviour_last_at=none,
        behaviour_decayed=np.zeros((0, 3)),
        facet_offsets=np.arange(number + 1) * facets,
        facet_hash=np.full(number * facets, facet_hash("tag", muted), np.uint64),
        facet_weight=np.zeros(number * facets, np.float32),
    )


def ranked(
    catalogue: Catalogue, own: Boosts | None, number: int = 1, muted: str = "", wishes: ListWishes | None = None
) -> RankedBatch:
    """Every item for each of so many alike strangers, by the rule for releases without a model."""
    content = np.linspace(-1.0, 1.0, ITEMS, dtype=np.float32)
    scores: Floats = np.full((number * ITEMS, len(SCORES)), np.nan, dtype=np.float32)
    scores[:, SCORES.index("content")] = np.tile(content, number)
    candidates = CandidateBatch(np.arange(number + 1) * ITEMS, np.tile(np.arange(ITEMS), number), scores)
    reranker = Reranker(None, Popularity())
    count = np.full(number, ITEMS)
    return reranker.rank(strangers(number, muted), candidates, count, catalogue.view(), wishes, own)


def order(batch: RankedBatch, user: int = 0) -> list[int]:
    items: Longs = batch.ranked_item[batch.ranked_offsets[user] : batch.ranked_offsets[user + 1]]
    return [int(item) for item in items]


def score(batch: RankedBatch, item: int) -> float:
    return float(batch.ranked_score[batch.ranked_item == item][0])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_factor_multiplies_exp_of_the_score_whatever_its_sign(catalogue: Catalogue, factor: float) -> None:
    plain, boosted = ranked(catalogue, None), ranked(catalogue, boosts([('category == "book"', factor)]))
    for item in range(ITEMS):
        expected = factor if item % 3 == 0 else 1.0
        assert math.exp(score(boosted, item)) == pytest.approx(expected * math.exp(score(plain, item)), rel=1e-5)
    assert score(plain, 0) < 0 < score(plain, 27)


@pytest.mark.parametrize(("factor", "moves"), [(2.0, 1), (0.5, -1)])
def test_above_one_lifts_and_below_one_lowers_and_the_order_within_and_without_stays(
    catalogue: Catalogue, factor: float, moves: int
) -> None:
    plain = order(ranked(catalogue, None))
    boosted = order(ranked(catalogue, boosts([('category == "book"', factor)])))
    places = [(plain.index(book) - boosted.index(book)) * moves for book in range(0, ITEMS, 3)]
    assert min(places) >= 0
    assert max(places) > 0
    for books in (True, False):
        assert [i for i in boosted if (i % 3 == 0) == books] == [i for i in plain if (i % 3 == 0) == books]


def test_factors_of_several_boosters_multiply_and_one_changes_nothing(catalogue: Catalogue) -> None:
    both = ranked(catalogue, boosts([('category == "book"', 3.0), ("price < 10", 0.5)]))
    plain = ranked(catalogue, boosts([("price < 10", 1.0)]))
    assert order(plain) == order(ranked(catalogue, None))
    expected = {6: 1.5, 3: 3.0, 2: 0.5, 1: 1.0}
    for item, factor in expected.items():
        assert score(both, item) - score(plain, item) == pytest.approx(math.log(factor), abs=1e-5)


def test_a_users_scores_do_not_depend_on_the_boosters_of_neighbours(catalogue: Catalogue) -> None:
    own = [[('category == "book"', 7.0), ("price < 10", 0.3)], [], [("price > 10", 2.0)], [('"red" in tags', 4.0)]]
    together = ranked(catalogue, boosts(*own), number=4)
    for user, boosters in enumerate(own):
        alone = ranked(catalogue, boosts(boosters))
        part = slice(together.ranked_offsets[user], together.ranked_offsets[user + 1])
        assert order(together, user) == order(alone)
        np.testing.assert_array_equal(together.ranked_score[part], alone.ranked_score)


def test_no_factor_brings_back_what_the_user_muted(catalogue: Catalogue) -> None:
    assert 50 * math.log(MAX_FACTOR / MIN_FACTOR) < 2 * MUTED_PENALTY
    most = [('"red" in tags', MAX_FACTOR)] * 50
    assert order(ranked(catalogue, boosts(most), muted="red"))[-1] == 0


def test_lists_are_arranged_by_the_boosted_scores(catalogue: Catalogue) -> None:
    """Draws are from the best by boosted score, and what is muted stays out of them."""
    wishes = replace(
        plain_wishes(1), explore_epsilon=np.ones(1), explore_depth=np.array([5]), explore_seed=np.ones(1, np.uint64)
    )
    own = boosts([('category == "book"', 1e3)])
    plain, explored = ranked(catalogue, own, muted="red"), ranked(catalogue, own, muted="red", wishes=wishes)
    assert {item % 3 for item in order(plain)[:5]} == {0}
    assert sorted(order(explored)[:5]) == sorted(order(plain)[:5])
    assert order(explored)[:5] != order(plain)[:5]
    np.testing.assert_allclose(explored.ranked_propensity[:5], [1 / 5, 1 / 4, 1 / 3, 1 / 2, 1])
    assert order(explored)[5:] == order(plain)[5:]
    assert {item: score(explored, item) for item in range(ITEMS)} == {item: score(plain, item) for item in range(ITEMS)}


def test_items_that_this_replica_does_not_know_yet_are_left_alone(catalogue: Catalogue) -> None:
    rows = np.array([-1, 3, -1])
    added = Boosting().log_factors(boosts([("price > 0", 2.0)]), np.zeros(3, np.int64), rows, catalogue.view())
    assert added.tolist() == [0.0, math.log(2.0), 0.0]
    empty = Catalogue().view()
    nothing = Boosting().log_factors(boosts([("price > 0", 2.0)]), np.zeros(1, np.int64), np.array([-1]), empty)
    assert nothing.tolist() == [0.0]


def test_lifted_is_what_all_boosters_of_a_user_together_lift(catalogue: Catalogue) -> None:
    view = catalogue.view()
    found = Boosting().lifted(boosts([('category == "book"', 3.0), ("price < 10", 0.3)], []), view)
    assert list(found) == [0]
    assert np.flatnonzero(found[0]).tolist() == [item for item in range(0, ITEMS, 3) if item % 2]
    assert Boosting().lifted(None, view) == {}

"""Calibration: category mixes of behaviour and of lists, and lists that come nearer to the mix of their user."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Longs, UserBatch
from interest.catalogue import Catalogue
from interest.events import EVENT_CODES, EventType
from interest.items import Item
from interest.store.protocol import ItemChange
from ranking.calibration import SMOOTHING, CategoryTable, Mixes, divergence, item_categories, no_mixes, user_mixes
from ranking.diversity import ScoreOrder, diversify

pytestmark = pytest.mark.thorough

NOW = 1_700_000_000.0
GENRES = [("drama",), ("drama", "war"), (), ("comedy",), ("war",)]


def change(key: int, categories: tuple[str, ...]) -> ItemChange:
    item = Item(item_id=str(key), title="Some film", tags=("drama",) if not categories else (), categories=categories)
    return ItemChange(key + 1, key, item.item_id, item, None, "")


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue()
    catalogue.apply([change(key, categories) for key, categories in enumerate(GENRES)])
    return catalogue


def behaviour_of(acts: list[list[tuple[int, EventType, float]]]) -> UserBatch:
    """One row an act of each user: item key, type, age in seconds."""
    rows = [act for user in acts for act in user]
    at = NOW - np.array([age for _, _, age in rows])
    return UserBatch(
        now=np.full(len(acts), NOW),
        vector=np.zeros((len(acts), 1), dtype=np.float32),
        recent_vector=np.zeros((len(acts), 1), dtype=np.float32),
        session_vector=np.zeros((len(acts), 1), dtype=np.float32),
        content=np.zeros((len(acts), 1, 0), dtype=np.float32),
        behaviour_offsets=np.concatenate([[0], np.cumsum([len(user) for user in acts])]).astype(np.int64),
        behaviour_item=np.array([item for item, _, _ in rows], dtype=np.int64),
        behaviour_type=np.array([EVENT_CODES[kind] for _, kind, _ in rows], dtype=np.int8),
        behaviour_count=np.ones(len(rows), dtype=np.int32),
        behaviour_value=np.ones(len(rows)),
        behaviour_first_at=at,
        behaviour_last_at=at,
        behaviour_decayed=np.ones((len(rows), 3)),
        facet_offsets=np.zeros(len(acts) + 1, dtype=np.int64),
        facet_hash=np.zeros(0, dtype=np.uint64),
        facet_weight=np.zeros(0, dtype=np.float32),
    )


def mix_of(mixes: Mixes, user: int) -> dict[str, float]:
    part = slice(mixes.offsets[user], mixes.offsets[user + 1])
    names = [mixes.items.names[category].name for category in mixes.category[part]]
    return dict(zip(names, mixes.share[part].tolist(), strict=True))


def test_items_have_their_categories_and_not_their_tags(catalogue: Catalogue) -> None:
    items = item_categories(catalogue.view())
    own = [items.category[a:b] for a, b in zip(items.offsets[:-1], items.offsets[1:], strict=True)]
    assert [sorted(items.names[c].name for c in row) for row in own] == [sorted(genres) for genres in GENRES]


def test_a_mix_is_of_positive_acts_by_weight_and_age(catalogue: Catalogue) -> None:
    half_life = 180 * 86_400.0
    acts = [
        [(1, EventType.PURCHASE, 0.0), (3, EventType.PURCHASE, half_life), (4, EventType.DISLIKE, 0.0)],
        [(2, EventType.PURCHASE, 0.0), (99, EventType.PURCHASE, 0.0)],  # no category; not in the catalogue
        [],
        [(0, EventType.LIKE, 0.0)],
    ]
    view = catalogue.view()
    mixes = user_mixes(behaviour_of(acts), view, item_categories(view))
    assert mix_of(mixes, 0) == pytest.approx({"drama": 0.5 / 1.5, "war": 0.5 / 1.5, "comedy": 0.5 / 1.5})
    assert [mix_of(mixes, user) for user in (1, 2, 3)] == [{}, {}, {"drama": 1.0}]


def test_divergence_is_nought_for_the_same_mix_and_greatest_for_none_of_it(catalogue: Catalogue) -> None:
    view = catalogue.view()
    acts = [[(0, EventType.LIKE, 0.0), (3, EventType.LIKE, 0.0)]] * 3 + [[]]
    mixes = user_mixes(behaviour_of(acts), view, item_categories(view))
    found = divergence(np.array([[0, 3], [4, 2], [0, -1], [0, 3]]), mixes)
    half = 0.5 * math.log(0.5 / ((1 - SMOOTHING) + SMOOTHING * 0.5)) + 0.5 * math.log(1 / SMOOTHING)
    assert_allclose(found[:3], [0.0, math.log(1 / SMOOTHING), half], atol=1e-12)
    assert np.isnan(found[3])


def calibrated(view_keys: Longs, mixes: Mixes, wish: float) -> Longs:
    """The best three of the five items, whose scores fall with their key, for one user."""
    ranked = ScoreOrder(np.array([0, 5]), np.arange(5), -np.arange(5, dtype=np.float32), np.zeros(5, dtype=np.bool_))
    zeros = np.zeros((5, 0), dtype=np.float32)
    return diversify(ranked, view_keys, zeros, np.array([3]), np.zeros(1), np.array([wish]), mixes)[:3]


def test_a_calibrated_list_comes_nearer_to_the_mix_as_the_wish_grows(catalogue: Catalogue) -> None:
    view = catalogue.view()
    acts = [[(3, EventType.LIKE, 0.0), (3, EventType.LIKE, 0.0), (4, EventType.LIKE, 0.0)]]
    mixes = user_mixes(behaviour_of(acts), view, item_categories(view))
    lists = [calibrated(view.rows(view.keys), mixes, wish) for wish in (0.0, 0.3, 0.6, 1.0)]
    assert_array_equal(lists[0], [0, 1, 2])
    distances = [float(divergence(rows[None, :], mixes)[0]) for rows in lists]
    assert distances == sorted(distances, reverse=True)
    assert set(lists[-1][:2].tolist()) == {3, 4}


def test_a_user_without_a_mix_keeps_the_order_of_the_scores(catalogue: Catalogue) -> None:
    view = catalogue.view()
    mixes = user_mixes(behaviour_of([[]]), view, item_categories(view))
    assert_array_equal(calibrated(view.rows(view.keys), mixes, 1.0), [0, 1, 2])
    assert_array_equal(calibrated(view.rows(view.keys), no_mixes(1, 5), 1.0), [0, 1, 2])


def test_the_table_is_made_again_only_when_the_catalogue_changed(catalogue: Catalogue) -> None:
    table = CategoryTable()
    first = table.of(catalogue.view())
    assert table.of(catalogue.view()) is first
    catalogue.apply([change(5, ("western",))])
    assert "western" in [facet.name for facet in table.of(catalogue.view()).names]

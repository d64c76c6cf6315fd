"""The last resort: the most wanted items that the query allows, boosted, or the caller's own candidates."""

import math
from typing import Any

import numpy as np
import pytest

from interest.catalogue import Catalogue
from interest.events import EVENT_CODES, EventType
from interest.items import Item
from interest.model import DAY_S
from interest.store.protocol import EventColumns, ItemChange
from ranking.popularity import Popularity
from serve.popular import PopularItems
from serve.ranker import Query

NOW = 100 * DAY_S


@pytest.fixture(scope="module")
def popular() -> PopularItems:
    """Item k was bought 10 - k times; items 8 and 9 are books, item 3 is not available."""
    catalogue, popularity = Catalogue(), Popularity()
    items = [
        Item(item_id=str(key), title="", categories=("book",) if key >= 8 else (), available=key != 3)
        for key in range(10)
    ]
    catalogue.apply([ItemChange(key + 1, key, item.item_id, item, None, "") for key, item in enumerate(items)])
    bought = np.repeat(np.arange(10), np.arange(10, 0, -1))
    kinds = np.full(len(bought), EVENT_CODES[EventType.PURCHASE], np.int8)
    at, nothing = np.full(len(bought), NOW - DAY_S), np.full(len(bought), np.nan)
    popularity.append(EventColumns(np.arange(len(bought)), np.zeros(len(bought), np.int64), bought, kinds, at, nothing))
    return PopularItems(catalogue, popularity)


def keys(popular: PopularItems, **asked: Any) -> list[int]:
    told: dict[str, Any] = {"exclude": np.zeros(0, np.int64), "count": 4, **asked}
    query = Query(user_id="u", now=NOW, as_of=math.nan, exclude_seen=False, **told)
    ranking = popular.ranking(query)
    assert ranking.propensity.tolist() == [1.0] * len(ranking.item_keys)  # no chance in it
    return [int(key) for key in ranking.item_keys]


def test_the_most_wanted_items_come_first(popular: PopularItems) -> None:
    assert keys(popular) == [0, 1, 2, 4]
    assert keys(popular, exclude=np.array([0, 2])) == [1, 4, 5, 6]


def test_given_candidates_are_all_there_is_whatever_the_rest_says(popular: PopularItems) -> None:
    assert keys(popular, given=np.array([9, 3, 1, 77]), count=10, exclude=np.array([1])) == [1, 9]


def test_a_factor_multiplies_the_counts(popular: PopularItems) -> None:
    assert keys(popular, boosts=(('category == "book"', 8.0),)) == [8, 0, 1, 2]
    assert keys(popular, boosts=(('category == "book"', 8.0), ('item_id == "9"', 1.3))) == [8, 9, 0, 1]
    assert keys(popular, boosts=(('item_id == "0"', 0.01),)) == [1, 2, 4, 5]

"""Exposure: counts of a small log over a small catalogue, by hand."""

import pytest

from interest.catalogue import Catalogue
from interest.items import Item
from interest.store.protocol import Impression, ItemChange
from ranking.exposure import NO_CATEGORY, CategoryShare, exposure


def catalogue_of(categories: dict[str, tuple[str, ...]], gone: tuple[str, ...] = ()) -> Catalogue:
    catalogue = Catalogue()
    items = [Item(item_id=item_id, title="", categories=own) for item_id, own in categories.items()]
    catalogue.apply(
        [
            ItemChange(n + 1, n, item.item_id, None if item.item_id in gone else item, None, "")
            for n, item in enumerate(items)
        ]
    )
    return catalogue


def shown(recommendation_id: str, *item_ids: str) -> list[Impression]:
    told = {"timestamp": 1.0, "requested_at": 1.0, "score": 0.0, "propensity": 1.0, "release": "1"}
    return [
        Impression(recommendation_id=recommendation_id, user_id="u", item_id=item_id, position=place + 1, **told)  # type: ignore[arg-type]
        for place, item_id in enumerate(item_ids)
    ]


def test_shares_gini_and_coverage_are_those_of_the_log() -> None:
    catalogue = catalogue_of({"a": ("tea",), "b": ("tea", "jazz"), "c": (), "d": ("war",), "e": ("tea",)}, gone=("e",))
    found = exposure([*shown("r1", "a", "b", "e"), *shown("r2", "a", "c", "never heard of")], catalogue.view())
    assert (found.lists, found.impressions, found.gone, found.items) == (2, 6, 2, 4)
    assert found.coverage == 0.75
    assert found.gini == pytest.approx((2 * (1 * 0 + 2 * 1 + 3 * 1 + 4 * 2) - 5 * 4) / (4 * 4))
    assert found.categories == (
        CategoryShare("tea", 2.5 / 4, 1.5 / 4),
        CategoryShare(NO_CATEGORY, 1 / 4, 1 / 4),
        CategoryShare("jazz", 0.5 / 4, 0.5 / 4),
        CategoryShare("war", 0.0, 1 / 4),
    )


def test_nothing_shown_over_nothing_is_no_error() -> None:
    found = exposure([], Catalogue().view())
    assert (found.gini, found.coverage, found.items, found.categories) == (0.0, 0.0, 0, ())

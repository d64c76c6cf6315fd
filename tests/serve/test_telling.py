"""What is told of a user's interests: the less of the catalogue bears one, the more it says."""

import pytest

from interest.catalogue import Catalogue
from interest.items import Item
from interest.store.protocol import ItemChange
from serve.telling import Telling

WEIGHTS = (
    ("category", "books", 1.0, False),
    ("tag", "sea", 0.5, False),
    ("tag", "unheard of", 0.4, False),
    ("tag", "none", 0.0, False),
)


def changes(*tags: str, first: int = 1) -> list[ItemChange]:
    items = [
        Item(item_id=f"{number}", title=f"{number}", categories=("books",), tags=(tag,))
        for number, tag in enumerate(tags, start=first)
    ]
    return [ItemChange(number, number, item.item_id, item, None, "") for number, item in enumerate(items, start=first)]


def followed(catalogue: Catalogue) -> Telling:
    telling = Telling(catalogue)
    telling.follow()
    return telling


def test_what_every_item_bears_is_told_of_nobody_and_what_few_bear_comes_first() -> None:
    catalogue = Catalogue()
    catalogue.apply(changes("sea", "land", "land", "land"))
    told = followed(catalogue).told(WEIGHTS)
    assert [name for name, _ in told] == ["unheard of", "sea", "books", "none"]
    assert [weight for _, weight in told] == pytest.approx([0.4, 0.5 * 0.75, 0.0, 0.0])


def test_a_declared_interest_keeps_its_weight() -> None:
    catalogue = Catalogue()
    catalogue.apply(changes("sea", "sea"))
    assert followed(catalogue).told([("category", "books", 1.0, True)]) == (("books", 1.0),)


def test_without_a_catalogue_weights_are_told_as_they_are() -> None:
    assert followed(Catalogue()).told(WEIGHTS) == tuple((name, weight) for _, name, weight, _ in WEIGHTS)


def test_shares_are_counted_again_only_when_the_catalogue_has_grown_by_a_tenth() -> None:
    catalogue = Catalogue()
    catalogue.apply(changes(*["sea"] * 20))
    telling = followed(catalogue)
    assert dict(telling.told(WEIGHTS))["sea"] == 0.0
    catalogue.apply(changes("land", "land", first=21))
    telling.follow()
    assert dict(telling.told(WEIGHTS))["sea"] == 0.0
    catalogue.apply(changes("land", first=23))
    telling.follow()
    assert dict(telling.told(WEIGHTS))["sea"] == pytest.approx(0.5 * 3 / 23)

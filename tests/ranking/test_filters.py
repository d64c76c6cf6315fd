"""Filter expressions against plain Python over the same items."""

from dataclasses import replace

import numpy as np
import pytest

from interest.catalogue import Catalogue, CatalogueView
from interest.errors import InvalidRequest
from interest.items import Item
from interest.store.protocol import ItemChange
from ranking.filter_parser import MAX_CHARACTERS, MAX_DEPTH
from ranking.filters import FilterMasks, compile_filter

ITEMS = [
    Item(item_id="A", title="Red Lamp", domain="e-commerce", categories=("Home", "light"), tags=("y",), price=19.99),
    Item(
        item_id="B", title="台灯", language="zh", domain="e-commerce", categories=("home",), tags=("灯", "y"), price=25
    ),
    Item(item_id="C", title="News", domain="news", created_at=1_000_000.0, attributes={"year": "1999", "by": "Ann"}),
    Item(item_id="D", title="Film", domain="entertainment", price=0, attributes={"year": "2004"}),
]


def view() -> CatalogueView:
    catalogue = Catalogue()
    catalogue.apply([ItemChange(1, key, item.item_id, item, None, "") for key, item in enumerate(ITEMS)])
    return catalogue.view()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('category == "home" and price < 20 and "y" in tags', "A"),
        ('category == "home"', "AB"),
        ('categories != "light"', "BCD"),
        ("price == 19.99", "A"),
        ("price != 19.99", "BD"),
        ("not price == 19.99", "BCD"),
        ("20 > price", "AD"),
        ("price >= 25 or price <= 0", "BD"),
        ("price in [0, 25.0]", "BD"),
        ("price not in [0]", "ABC"),
        ("price > -1e0", "ABD"),
        ('"灯" in tags', "B"),
        ('"灯" in title', "B"),
        ('"red" in title and not language == "zh"', "A"),
        ("item_id in [\"A\", 'D']", "AD"),
        ('item_id == "a"', ""),
        ('domain not in ["e-commerce"]', "CD"),
        ('tags in ["y", "z"]', "AB"),
        ("created_at < 1000001", "C"),
        ('created_at < "1970-01-13"', "C"),
        ('created_at > "1970-01-13T00:00:00+00:00"', ""),
        ("attributes.year >= 2000", "D"),
        ('attributes.year == "1999"', "C"),
        ('attributes.by != "Bob"', "C"),
        ("attributes.by < 3", ""),
        ("attributes.year in [1999, 2004]", "CD"),
        ('(domain == "news" or domain == "e-commerce") and not (price > 20)', "AC"),
        ('domain == "news" or domain == "e-commerce" and price > 20', "BC"),
        ('"nn" in attributes.by', "C"),
        (r'title == "say \"x\""', ""),
    ],
)
def test_an_expression_selects_the_items_it_describes(expression: str, expected: str) -> None:
    mask = compile_filter(expression).mask(view())
    assert mask.dtype == np.bool_
    assert "".join(ITEMS[row].item_id for row in np.flatnonzero(mask)) == expected


@pytest.mark.parametrize(
    ("expression", "said", "character"),
    [
        ("colour == 3", "unknown field 'colour'", 1),
        ('price < 3 and colour == "x"', "unknown field 'colour'", 15),
        ('price < "x"', "price is a number", 9),
        ("title == 3", "title is text", 10),
        ("title < 'x'", "title is text", 1),
        ('created_at > "yesterday"', "not an ISO date", 14),
        ("price <", "found the end", 8),
        ("price", "expected a comparison, found the end", 6),
        ("price not < 3", "expected a comparison", 7),
        ("(price < 3", "expected )", 11),
        ("price < 3 price", "expected the end, and, or", 11),
        ("price < 3 & price > 1", "cannot read", 11),
        ("3 < 4", "one field and one value", 3),
        ("price < title", "one field and one value", 7),
        ("price == [1]", "one field and one value", 7),
        ("price in []", "the list is empty", 10),
        ("price in [1 2]", "a comma or ]", 13),
        ("price in [price]", "expected a value", 11),
        ("3 in price", "holds no text", 6),
        ("price in title", "`in` needs", 10),
        ('title in ["x", 3]', "title is text", 10),
        ("", "expected a field or a value", 1),
        ('title == "open', "cannot read", 10),
        ("__import__('os').system('x')", "cannot read", 17),
    ],
)
def test_a_bad_expression_is_refused_with_its_fault_and_place(expression: str, said: str, character: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        compile_filter(expression)
    assert said in caught.value.message
    assert caught.value.param == "filter"
    place = caught.value.message.split(":")[0]
    assert place == f"filter, character {character}"


@pytest.mark.parametrize("price", [0.1, 19.99, 1_234.56, 5_999.99, 123_456.78, 1e-7])
def test_a_price_equals_itself_however_high(price: float) -> None:
    catalogue = Catalogue()
    priced = Item(item_id="P", title="", price=price)
    catalogue.apply([ItemChange(1, 0, "P", priced, None, "")])
    for sign, expected in (("==", True), ("<=", True), (">=", True), ("!=", False), ("<", False), (">", False)):
        assert compile_filter(f"price {sign} {price!r}").mask(catalogue.view()).tolist() == [expected]


@pytest.mark.parametrize("field", ["domain", "language"])
@pytest.mark.parametrize("condition", ['== "NEWS"', '!= "news"', 'in ["news", "zh"]', 'not in ["zh"]', '== ""'])
def test_domain_and_language_are_compared_by_their_columns_and_mean_the_items_own(field: str, condition: str) -> None:
    catalogue = Catalogue()
    catalogue.apply([ItemChange(1, key, item.item_id, item, None, "") for key, item in enumerate(ITEMS)])
    catalogue.apply([ItemChange(2, 0, "A", None, None, ""), ItemChange(3, 1, "B", ITEMS[2], None, "")])
    expression = f"{field} {condition}"
    slow = [matches(getattr(item, field), condition) for item in catalogue.view().items]
    columns_alone = replace(catalogue.view(), items=[])
    assert compile_filter(expression).mask(columns_alone).tolist() == slow


def matches(text: str, condition: str) -> bool:
    """The condition in Python."""
    sign, values = condition.rsplit(" ", 1) if "[" not in condition else condition.split(" [")
    wanted = [part.strip('"[],').casefold() for part in values.split(", ")]
    return (text.casefold() in wanted) == (sign in ("==", "in"))


def test_length_and_depth_are_limited() -> None:
    with pytest.raises(InvalidRequest, match="must be at most"):
        compile_filter("p" * (MAX_CHARACTERS + 1))
    with pytest.raises(InvalidRequest, match="nested deeper"):
        compile_filter("(" * MAX_DEPTH + "price < 3" + ")" * MAX_DEPTH)
    with pytest.raises(InvalidRequest, match="nested deeper"):
        compile_filter("not " * 300 + "price < 3")
    compile_filter("(" * (MAX_DEPTH - 1) + "price < 3" + ")" * (MAX_DEPTH - 1))


def test_a_long_chain_is_not_deep() -> None:
    assert compile_filter(" or ".join(["price < 3"] * 100)).mask(view()).sum() == 1


def test_a_mask_is_kept_until_the_catalogue_changes() -> None:
    masks, catalogue = FilterMasks(), Catalogue()
    catalogue.apply([ItemChange(1, 0, "A", ITEMS[0], None, "")])
    first = masks.of("price < 20", catalogue.view())
    assert masks.of("price < 20", catalogue.view()) is first
    catalogue.apply([ItemChange(1, 0, "A", ITEMS[1], None, "")])
    assert not masks.of("price < 20", catalogue.view()).any()


def test_an_empty_catalogue_has_an_empty_mask() -> None:
    expressions: list[str] = ["price < 3", "'x' in title", "not (price < 3 and title == 'x')"]
    assert [len(compile_filter(expression).mask(Catalogue().view())) for expression in expressions] == [0, 0, 0]

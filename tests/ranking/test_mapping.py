"""Mappings: our names on the left, theirs on the right, every mistake named."""

from pathlib import Path

import pytest

from interest.errors import InvalidConfig
from ranking.mapping import EventsMapping, ItemsMapping, Mapping, load_mapping, parse_mapping, shipped_mappings


def test_the_three_shipped_mappings_load_under_their_own_names() -> None:
    assert {mapping.source for mapping in shipped_mappings()} == {"online-retail", "movietweetings", "goodbooks"}


def test_an_empty_mapping_is_our_own_layout() -> None:
    assert parse_mapping("", "empty.yaml") == Mapping()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("itms: {}", "itms"),
        ("items: {columns: {name: title}}", "'name'"),
        ("items: {constants: {colour: red}}", "'colour'"),
        ("items: {values: {lang: {a: b}}}", "'lang'"),
        ("items: {separators: {title: '|'}}", "'title'"),
        ("items: {limits: {price: 3}}", "'price'"),
        ("items: {limits: {tags: 0}}", "tags"),
        ("events: {separators: {text: '|'}}", "'text'"),
        ("events: {timestamp_unit: minutes}", "timestamp_unit"),
        ("events: {attributes: {a: b}}", "attributes"),
        ("events: {delimiter: '::'}", "delimiter"),
        ("events: {columns: {type: t}, constants: {type: view}}", "'type'"),
        ("source: ''", "source"),
        ("- a list", "the file"),
        ("items: {", "not YAML"),
    ],
)
def test_a_wrong_mapping_is_refused_and_its_key_named(text: str, named: str) -> None:
    with pytest.raises(InvalidConfig, match=named) as caught:
        parse_mapping(text, "wrong.yaml")
    assert "wrong.yaml" in str(caught.value)


def test_a_mapping_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"absent\.yaml"):
        load_mapping(tmp_path / "absent.yaml")
    (tmp_path / "good.yaml").write_text("source: shop", encoding="utf-8")
    assert load_mapping(tmp_path / "good.yaml").source == "shop"


def test_our_own_layout_takes_the_columns_that_bear_our_names() -> None:
    assert ItemsMapping().resolve("f", ("item_id", "title", "stock", "price")) == {
        "item_id": "item_id",
        "title": "title",
        "price": "price",
    }


def test_a_constant_stands_in_for_a_required_column() -> None:
    table = EventsMapping(constants={"type": "view"})
    assert "type" not in table.resolve("f", ("user_id", "item_id", "timestamp", "type"))


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        (ItemsMapping(), "title"),
        (ItemsMapping(columns={"item_id": "item_id", "title": "name"}), "name"),
        (ItemsMapping(columns={"item_id": "item_id"}, constants={"title": "x"}, attributes={"year": "yr"}), "yr"),
    ],
)
def test_a_missing_column_is_named_with_the_columns_there_are(table: ItemsMapping, missing: str) -> None:
    with pytest.raises(InvalidConfig, match=f"'{missing}'.*item_id, price"):
        table.resolve("items.csv", ("item_id", "price"))

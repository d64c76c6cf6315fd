"""Single cells: what is taken, and why the rest is not."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from interest.events import EventType
from ranking.import_values import (
    MAX_ID,
    MAX_NAMES,
    BadValue,
    attribute_texts,
    boolean,
    event_value,
    identifier,
    names,
    number,
    optional_identifier,
    position,
    price,
    text,
    timestamp,
)

LATEST = 2_000_000_000.0


@pytest.mark.parametrize(
    ("value", "expected"), [(" a7 ", "a7"), ("007", "007"), (12, "12"), (12.0, "12"), ("书", "书")]
)
def test_ids_are_text_and_whole_numbers_lose_their_point(value: Any, expected: str) -> None:
    assert identifier("user_id", value) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        ("  ", "missing"),
        (float("nan"), "missing"),
        (1.5, "whole number"),
        (True, "whole number"),
        (["a"], "whole number"),
        ("x" * (MAX_ID + 1), "longer than"),
        ("a\tb", "control character"),
        ("a\udcff", "not UTF-8"),
    ],
)
def test_what_is_no_id_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(BadValue) as caught:
        identifier("user_id", value)
    assert reason in caught.value.reason
    assert caught.value.field == "user_id"
    caught.value.value.encode()


def test_optional_ids_may_be_empty() -> None:
    assert [optional_identifier("session_id", value) for value in (None, "", "s1")] == ["", "", "s1"]


def test_texts_are_stripped_and_numbers_become_text() -> None:
    cells = (None, " a ", 1984, float("nan"))
    assert [text("title", value, 10) for value in cells] == ["", "a", "1984", ""]


@pytest.mark.parametrize(
    ("value", "reason"),
    [("x" * 11, "longer than 10"), ("a\0b", "control"), ([1], "must be text"), ("\udc80", "not UTF-8")],
)
def test_text_that_cannot_be_stored_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(BadValue) as caught:
        text("title", value, 10)
    assert reason in caught.value.reason


def test_numbers_and_prices_are_finite_and_prices_not_negative() -> None:
    assert [number("value", cell) for cell in (None, "", "1.5", 2, Decimal("0.1"))] == [None, None, 1.5, 2.0, 0.1]
    assert price("0") == 0.0
    for cell in ("abc", float("nan"), "inf", True, [1], "-inf", 10**400):
        with pytest.raises(BadValue):
            price(cell)
    with pytest.raises(BadValue, match="must not be negative"):
        price(-0.01)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1_700_000_000, "s", 1_700_000_000.0),
        ("1700000000.5", "s", 1_700_000_000.5),
        (1_700_000_000_123, "ms", 1_700_000_000.123),
        (1_700_000_000_000_000, "us", 1_700_000_000.0),
        (1_700_000_000_000_000_000, "ns", 1_700_000_000.0),
        ("2023-11-14T22:13:20Z", "s", 1_700_000_000.0),
        ("2023-11-15 06:13:20+08:00", "ms", 1_700_000_000.0),
        ("2023-11-14T22:13:20", "s", 1_700_000_000.0),
        ("1970-01-02", "s", 86_400.0),
        (date(1970, 1, 2), "s", 86_400.0),
        (datetime(1970, 1, 2, tzinfo=UTC), "ms", 86_400.0),
        (0, "s", 0.0),
    ],
)
def test_times_are_read_from_numbers_iso_texts_and_datetimes(value: Any, unit: str, expected: float) -> None:
    assert timestamp("timestamp", value, unit, LATEST) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        ("yesterday", "not a time"),
        ("2026-13-01", "not a time"),
        (float("nan"), "not a time"),
        (True, "not a time"),
        (-1, "before 1970"),
        ("1969-12-31", "before 1970"),
        (1_700_000_000_000, "future"),
        ("9999-01-01", "future"),
    ],
)
def test_what_is_no_possible_time_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(BadValue) as caught:
        timestamp("timestamp", value, "s", LATEST)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("value", "separator", "limit", "expected"),
    [
        (None, None, None, ()),
        ("a|b| a ||c", None, None, ("a", "b", "c")),
        ("a,b|c", ",", None, ("a", "b|c")),
        ('["a", "b"]', None, None, ("a", "b")),
        ('"a"', None, None, ('"a"',)),
        (["x", None, "y", "z"], None, 2, ("x", "y")),
        ("[a]", ",", None, ("[a]",)),
    ],
)
def test_lists_come_from_lists_json_or_separated_text(
    value: Any, separator: str | None, limit: int | None, expected: tuple[str, ...]
) -> None:
    assert names("tags", value, separator, limit) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("[a", "not a JSON list"),
        (5, "must be a list"),
        ([str(entry) for entry in range(MAX_NAMES + 1)], "more than"),
        (["x" * 300], "longer than"),
        ([["a"]], "must be text"),
    ],
)
def test_what_is_no_list_of_names_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(BadValue) as caught:
        names("tags", value, None, None)
    assert reason in caught.value.reason


def test_values_must_make_sense_for_their_event() -> None:
    assert event_value(EventType.PURCHASE, "3") == 3.0
    assert event_value(EventType.PORTION, 0.5) == 0.5
    assert event_value(EventType.RATING, None) is None
    for kind, value in ((EventType.PURCHASE, -1), (EventType.PORTION, 1.01), (EventType.RATING, "good")):
        with pytest.raises(BadValue):
            event_value(kind, value)


def test_positions_are_whole_and_not_negative() -> None:
    assert [position(value) for value in ("", "0", 3, 2.0)] == [None, 0, 3, 2]
    for value in (-1, 1.5, "x"):
        with pytest.raises(BadValue):
            position(value)


def test_booleans_are_words_or_digits() -> None:
    cells = (None, "", True, "FALSE", 0, "yes")
    assert [boolean("available", cell, default=True) for cell in cells] == [True, True, True, False, False, True]
    with pytest.raises(BadValue, match="must be one of"):
        boolean("available", "perhaps", default=True)


def test_attributes_come_from_objects_json_or_arrow_maps_without_empty_ones() -> None:
    assert attribute_texts({"year": 1999, "a": None}) == {"year": "1999"}
    assert attribute_texts('{"b": "c"}') == {"b": "c"}
    assert attribute_texts([("k", "v")]) == {"k": "v"}
    assert attribute_texts("") == {}
    for value in ("{", "[1]", 5, {str(key): "x" for key in range(MAX_NAMES + 1)}):
        with pytest.raises(BadValue):
            attribute_texts(value)

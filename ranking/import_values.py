"""Single cells of somebody's table, checked: each function returns the value or raises `BadValue`."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import orjson

from interest.events import EventType

MAX_ID = 256  # characters
MAX_TITLE = 1_000
MAX_TEXT = 20_000
MAX_NAME = 200  # of a category, tag or keyword
MAX_NAMES = 100
_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class BadValue(Exception):
    """Why a row is skipped: the field of ours, the value found, the reason."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(field, value, reason)
        self.field = field
        self.value = str(value)[:100].encode("utf-8", "backslashreplace").decode()
        self.reason = reason


def identifier(field: str, value: Any) -> str:
    """An id as text; whole numbers are written without a point."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise BadValue(field, value, "missing")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str | float):
        raise BadValue(field, value, "must be text or a whole number")
    if isinstance(value, float):
        if not value.is_integer():
            raise BadValue(field, value, "must be text or a whole number")
        value = str(int(value))
    found = text(field, value, MAX_ID)
    if not found:
        raise BadValue(field, value, "missing")
    if not found.isprintable():
        raise BadValue(field, value, "holds a control character")
    return found


def text(field: str, value: Any, limit: int) -> str:
    """Text without white space around it; empty for an empty cell."""
    if value is None:
        return ""
    if not isinstance(value, str):
        given, value = value, _number_text(value)
        if value is None:
            raise BadValue(field, given, "must be text")
    found: str = value.strip()
    if len(found) > limit:
        raise BadValue(field, found, f"longer than {limit} characters")
    if not found.isascii() and any("\ud800" <= character <= "\udfff" for character in found):
        raise BadValue(field, found, "not UTF-8")
    if "\0" in found:
        raise BadValue(field, found.replace("\0", "\\0"), "holds a control character")
    return found


def number(field: str, value: Any) -> float | None:
    """A finite number; None for an empty cell."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise BadValue(field, value, "not a number")
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadValue(field, value, "not a number") from error
    if not math.isfinite(found):
        raise BadValue(field, value, "not a finite number")
    return found


def timestamp(field: str, value: Any, unit: str, latest: float) -> float:
    """Unix seconds from a number in `unit`, an ISO 8601 text or a datetime (UTC where no zone is given)."""
    if value is None or value == "":
        raise BadValue(field, value, "missing")
    found = _moment(value)
    if found is None:
        try:
            parsed = number(field, value)
        except BadValue as error:
            raise BadValue(field, value, "not a time: unix time or ISO 8601 expected") from error
        found = (parsed or 0.0) / _UNITS[unit]
    if found < 0.0:
        raise BadValue(field, value, "before 1970")
    if found > latest:
        raise BadValue(field, value, "in the future: is the unit right?")
    return found


def names(field: str, value: Any, separator: str | None, limit: int | None) -> tuple[str, ...]:
    """The first `limit` entries of a list, a JSON list, or text cut at the separator ("|" when None), each once."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = _split(field, value, separator)
    if not isinstance(value, list | tuple):
        raise BadValue(field, value, "must be a list")
    found = dict.fromkeys(text(field, entry, MAX_NAME) for entry in value)
    found.pop("", None)
    kept = tuple(found)[:limit]
    if len(kept) > MAX_NAMES:
        raise BadValue(field, len(kept), f"more than {MAX_NAMES} entries")
    return kept


def event_value(kind: EventType, value: Any) -> float | None:
    """What the event type says of its value: no negative quantity, portions 0 to 1."""
    found = number("value", value)
    if found is None:
        return None
    if kind is EventType.PURCHASE and found < 0.0:
        raise BadValue("value", value, "a quantity must not be negative")
    if kind is EventType.PORTION and not 0.0 <= found <= 1.0:
        raise BadValue("value", value, "a portion must be 0 to 1")
    return found


def optional_identifier(field: str, value: Any) -> str:
    """An id as text; empty for an empty cell."""
    return "" if value is None or value == "" else identifier(field, value)


def position(value: Any) -> int | None:
    """A place in a list from 0; None for an empty cell."""
    found = number("position", value)
    if found is None:
        return None
    if found < 0 or not found.is_integer():
        raise BadValue("position", value, "must be a whole number from 0")
    return int(found)


def price(value: Any) -> float | None:
    """A price of 0 or more; None for an empty cell."""
    found = number("price", value)
    if found is not None and found < 0.0:
        raise BadValue("price", value, "must not be negative")
    return found


def boolean(field: str, value: Any, default: bool) -> bool:
    """Yes or no; the default for an empty cell."""
    if value is None or value == "":
        return default
    found = _BOOLEANS.get(str(value).strip().lower())
    if found is None:
        raise BadValue(field, value, f"must be one of {', '.join(_BOOLEANS)}")
    return found


def attribute_texts(value: Any) -> dict[str, str]:
    """Attributes from a mapping, a JSON object or an Arrow map; empty ones are left out."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise BadValue("attributes", value, "not a JSON object") from error
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)
    if not isinstance(value, Mapping):
        raise BadValue("attributes", value, "not a JSON object")
    if len(value) > MAX_NAMES:
        raise BadValue("attributes", len(value), f"more than {MAX_NAMES} entries")
    texts = {
        text("attributes", str(name), MAX_NAME): text("attributes", cell, MAX_TITLE) for name, cell in value.items()
    }
    return {name: cell for name, cell in texts.items() if name and cell}


def _split(field: str, value: str, separator: str | None) -> list[Any]:
    if separator is None and value.lstrip().startswith("["):
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise BadValue(field, value, "not a JSON list") from error
        return parsed if isinstance(parsed, list) else [parsed]
    return list(value.split(separator or "|"))


def _number_text(value: Any) -> str | None:
    """A number as text, NaN as an empty cell; None for anything that is not a number."""
    if not isinstance(value, int | float):
        return None
    return "" if isinstance(value, float) and math.isnan(value) else str(value)


def _moment(value: Any) -> float | None:
    """Unix seconds of a datetime, a date or ISO 8601 text; None for anything else."""
    if isinstance(value, str):
        if value.strip().replace(".", "", 1).lstrip("-").isdigit():
            return None  # a number: fromisoformat would read 20260101 as a day
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return None
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()

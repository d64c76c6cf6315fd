"""One row of somebody's table -> an item, an event or declared interests; anything wrong is a `BadValue`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from interest.events import Event, EventType, Facet, InterestEdit
from interest.items import DOMAINS, LANGUAGES, Item
from ranking.import_values import (
    MAX_NAME,
    MAX_TEXT,
    MAX_TITLE,
    BadValue,
    attribute_texts,
    boolean,
    event_value,
    identifier,
    names,
    optional_identifier,
    position,
    price,
    text,
    timestamp,
)
from ranking.mapping import EventsMapping, ItemsMapping, TableMapping, UsersMapping

EVENT_FUTURE_S = 86_400.0  # clocks differ; a day is no difference of clocks
ITEM_FUTURE_S = 366 * 86_400.0  # items may be announced
_TYPES = {str(kind): kind for kind in EventType}

Row = Mapping[str, Any]


def translated(table: TableMapping, row: Row) -> Row:
    """The row by our field names with the mapping's constants and translations applied."""
    if not table.constants and not table.values:
        return row
    cells = {**row, **table.constants}
    for field, translation in table.values.items():
        value = cells.get(field)
        cells[field] = translation.get("" if value is None else str(value), translation.get("*", value))
    return cells


@dataclass(frozen=True, slots=True)
class ItemRows:
    """Rows -> items. `now` is unix seconds; `detect` names the language of a text."""

    table: ItemsMapping
    now: float
    detect: Callable[[str], str]

    def parse(self, row: Row, attributes: Row) -> Item:
        """Raises `BadValue`."""
        cells = translated(self.table, row)
        title = text("title", cells.get("title"), MAX_TITLE)
        if not title:
            raise BadValue("title", title, "missing")
        body = text("text", cells.get("text"), MAX_TEXT)
        created = cells.get("created_at")
        return Item(
            item_id=identifier("item_id", cells.get("item_id")),
            title=title,
            domain=self._domain(cells.get("domain")),
            language=self._language(cells.get("language"), f"{title} {body}"),
            categories=_names(self.table, "categories", cells),
            tags=_names(self.table, "tags", cells),
            text=body,
            price=price(cells.get("price")),
            created_at=None
            if created in (None, "")
            else timestamp("created_at", created, self.table.timestamp_unit, self.now + ITEM_FUTURE_S),
            available=boolean("available", cells.get("available"), default=True),
            attributes=attribute_texts(cells.get("attributes")) | attribute_texts(attributes),
        )

    def _domain(self, value: Any) -> str:
        domain = text("domain", value, MAX_NAME)
        if domain and domain not in DOMAINS:
            raise BadValue("domain", domain, f"must be one of {', '.join(DOMAINS)}")
        return domain

    def _language(self, value: Any, content: str) -> str:
        language = text("language", value, MAX_NAME)
        if language in ("", "detect"):
            return self.detect(content)
        if language not in LANGUAGES:
            raise BadValue("language", language, f"must be one of {', '.join(LANGUAGES)} or detect")
        return language


class EventRows:
    """Rows -> events; where a row has no id, one is derived from its content and its place among exact repeats."""

    def __init__(self, table: EventsMapping, now: float, source: str) -> None:
        self._table = table
        self._latest = now + EVENT_FUTURE_S
        self._source = source
        self._seen: set[int] = set()
        self._repeats: dict[int, int] = {}

    def parse(self, row: Row) -> Event:
        """Raises `BadValue`."""
        cells = translated(self._table, row)
        name = cells.get("type")
        kind = _TYPES.get(name if isinstance(name, str) else "") or _TYPES.get(str(name).strip().lower())
        if kind is None:
            raise BadValue("type", name, f"must be one of {', '.join(_TYPES)}")
        given = cells.get("event_id")
        user_id = identifier("user_id", cells.get("user_id"))
        item_id = identifier("item_id", cells.get("item_id"))
        at = timestamp("timestamp", cells.get("timestamp"), self._table.timestamp_unit, self._latest)
        value = event_value(kind, cells.get("value"))
        comment = text("text", cells.get("text"), MAX_TEXT)
        session_id = optional_identifier("session_id", cells.get("session_id"))
        recommendation_id = optional_identifier("recommendation_id", cells.get("recommendation_id"))
        place = position(cells.get("position"))
        if given is None or given == "":
            body = (kind.value, user_id, item_id, at, value, comment, session_id, recommendation_id, place)
            event_id = self._derived_id(body)
        else:
            event_id = identifier("event_id", given)
        return Event(
            event_id=event_id,
            type=kind,
            user_id=user_id,
            item_id=item_id,
            timestamp=at,
            value=value,
            text=comment,
            session_id=session_id,
            recommendation_id=recommendation_id,
            position=place,
        )

    def _derived_id(self, body: tuple[object, ...]) -> str:
        key = repr((self._source, body))
        digest = int(xxhash.xxh3_128_intdigest(key.encode()))
        if digest in self._seen:
            ordinal = self._repeats.get(digest, 0) + 1
            self._repeats[digest] = ordinal
            digest = int(xxhash.xxh3_128_intdigest(f"{key}#{ordinal}".encode()))
        else:
            self._seen.add(digest)
        return f"import-{digest:032x}"


@dataclass(frozen=True, slots=True)
class UserRows:
    """Rows -> declared interests of weight 1; None for a user who declared nothing."""

    table: UsersMapping
    now: float
    source: str

    def parse(self, row: Row) -> InterestEdit | None:
        """Raises `BadValue`."""
        cells = translated(self.table, row)
        user_id = identifier("user_id", cells.get("user_id"))
        since = cells.get("timestamp")
        latest = self.now + EVENT_FUTURE_S
        at = 0.0 if since in (None, "") else timestamp("timestamp", since, self.table.timestamp_unit, latest)
        facets = tuple(
            (Facet(kind, name), 1.0)
            for kind, field in (("category", "categories"), ("tag", "tags"), ("keyword", "keywords"))
            for name in _names(self.table, field, cells)
        )
        if not facets:
            return None
        digest = xxhash.xxh3_128_hexdigest(repr((self.source, user_id, at, facets)).encode())
        return InterestEdit(record_id=f"import-{digest}", user_id=user_id, timestamp=at, facets=facets)


def _names(table: TableMapping, field: str, cells: Row) -> tuple[str, ...]:
    return names(field, cells.get(field), table.separators.get(field), table.limits.get(field))

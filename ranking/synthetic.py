"""A seeded world of items, users and a year of events, for running and testing without anybody's data."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from interest.events import Event
from interest.items import Item
from ranking.synthetic_events import make_events
from ranking.synthetic_items import YEAR_S, make_entries
from ranking.synthetic_users import SyntheticUser, make_users

DEFAULT_END = datetime(2026, 7, 1, tzinfo=UTC).timestamp()
ITEMS_FILE = "items.parquet"
EVENTS_FILE = "events.parquet"


@dataclass(frozen=True, slots=True)
class World:
    """Items, users and events between `start` and `end` (unix seconds, UTC)."""

    items: list[Item]
    users: list[SyntheticUser]
    events: list[Event]  # by ascending time
    start: float
    end: float


def make_world(
    rng: np.random.Generator,
    items_per_domain: int = 400,
    users: int = 600,
    events: int = 60_000,
    end: float = DEFAULT_END,
) -> World:
    """The same world for the same generator state and sizes; the events fill the year before `end`.

    Raises `ValueError` when there would be fewer than two items a domain, or no user.
    """
    if items_per_domain < 2 or users < 1 or events < 0:
        raise ValueError(
            f"items_per_domain={items_per_domain}, users={users}, events={events}: must be at least 2, 1 and 0"
        )
    start = end - YEAR_S
    entries = make_entries(rng, items_per_domain, start, end)
    people = make_users(rng, users, entries, start, end)
    log = make_events(rng, people, entries, events, start, end)
    return World([entry.item for entry in entries], people, log, start, end)


def write_world(world: World, folder: Path) -> tuple[Path, Path]:
    """Write items.parquet and events.parquet in Attune's own layout into `folder`; returns the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    items, events = folder / ITEMS_FILE, folder / EVENTS_FILE
    pq.write_table(_item_table(world.items), items, compression="zstd")
    pq.write_table(_event_table(world.events), events, compression="zstd")
    return items, events


def _item_table(items: list[Item]) -> pa.Table:
    return pa.table(
        {
            "item_id": [item.item_id for item in items],
            "title": [item.title for item in items],
            "domain": [item.domain for item in items],
            "language": [item.language for item in items],
            "categories": pa.array([list(item.categories) for item in items], pa.list_(pa.string())),
            "tags": pa.array([list(item.tags) for item in items], pa.list_(pa.string())),
            "text": [item.text for item in items],
            "price": pa.array([item.price for item in items], pa.float64()),
            "created_at": pa.array([item.created_at for item in items], pa.float64()),
            "available": [item.available for item in items],
            "attributes": [orjson.dumps(dict(item.attributes)).decode() for item in items],
        }
    )


def _event_table(events: list[Event]) -> pa.Table:
    return pa.table(
        {
            "event_id": pa.array([event.event_id for event in events], pa.string()),
            "type": pa.array([str(event.type) for event in events], pa.string()),
            "user_id": pa.array([event.user_id for event in events], pa.string()),
            "item_id": pa.array([event.item_id for event in events], pa.string()),
            "timestamp": pa.array([event.timestamp for event in events], pa.float64()),
            "value": pa.array([event.value for event in events], pa.float64()),
            "text": pa.array([event.text for event in events], pa.string()),
            "session_id": pa.array([event.session_id for event in events], pa.string()),
        }
    )

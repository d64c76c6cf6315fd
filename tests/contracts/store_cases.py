"""What the contract suites of the store share: every implementation, and short ways to make records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interest.events import Event, EventType, Facet, InterestEdit
from interest.items import Item
from interest.profile import InterestProfile
from interest.store.group_commit import TransactionalWriter
from interest.store.open import open_reader, open_writer
from interest.store.protocol import Impression, StoreReader

TEA, JAZZ = Facet("tag", "tea"), Facet("tag", "jazz")
NOON = 1_400_000_000.0

Store = tuple[TransactionalWriter, StoreReader]
OpenStore = Callable[[Path], Store]


def open_sqlite(folder: Path) -> Store:
    url = f"sqlite:///{folder / 'attune.db'}"
    writer = open_writer(url)
    return writer, open_reader(url)


IMPLEMENTATIONS: dict[str, OpenStore] = {"sqlite": open_sqlite}


def event(event_id: str, **changes: Any) -> Event:
    told: dict[str, Any] = {"user_id": "u1", "item_id": "i1", "type": EventType.PURCHASE, "timestamp": NOON}
    return Event(event_id=event_id, **{**told, **changes})


def edit(record_id: str, timestamp: float = NOON, replace: bool = False, **weights: float | None) -> InterestEdit:
    facets = tuple((Facet("tag", name), weight) for name, weight in weights.items())
    return InterestEdit(record_id=record_id, user_id="u1", timestamp=timestamp, facets=facets, replace=replace)


def shown(position: int, **changes: Any) -> Impression:
    told: dict[str, Any] = {"recommendation_id": "rec_1", "user_id": "u1", "item_id": f"i{position}"}
    numbers = {
        "position": position,
        "timestamp": NOON,
        "requested_at": NOON,
        "score": 0.5,
        "propensity": 0.25,
        "release": "r1",
    }
    return Impression(**{**told, **numbers, **changes})


def item(item_id: str = "i1", **changes: Any) -> Item:
    return Item(item_id=item_id, **{"title": f"Title of {item_id}", **changes})


def keys_of(reader: StoreReader) -> dict[str, int]:
    return {change.item_id: change.item_key for change in reader.item_changes(0)}


def assert_same(left: InterestProfile, right: InterestProfile) -> None:
    """Equal up to 1e-6."""
    assert left.user_id == right.user_id
    assert np.array_equal(left.behaviour.item_key, right.behaviour.item_key)
    assert np.array_equal(left.behaviour.event_type, right.behaviour.event_type)
    assert np.array_equal(left.behaviour.count, right.behaviour.count)
    assert np.allclose(left.behaviour.value, right.behaviour.value, rtol=1e-6, atol=1e-6)
    assert np.allclose(left.behaviour.decayed, right.behaviour.decayed, rtol=1e-6, atol=1e-6)
    assert np.array_equal(left.behaviour.last_at, right.behaviour.last_at)
    assert (left.declared, left.cleared, left.events) == (right.declared, right.cleared, right.events)
    assert left.updated_at == right.updated_at
    assert left.keywords.keys() == right.keywords.keys()
    for keyword, weight in left.keywords.items():
        assert right.keywords[keyword] == pytest.approx(weight, rel=1e-6)

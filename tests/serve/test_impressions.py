"""The writer behind the reply: one command for impressions and rankings, bounded, and nothing dies with a failure."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from interest.errors import AttuneError
from interest.store.protocol import Impression, Snapshot
from serve import impressions
from serve.impressions import ImpressionWriter
from serve.metrics import SNAPSHOTS


class Store:
    """Remembers each command; fails while it is told to."""

    def __init__(self) -> None:
        self.commands: list[tuple[list[Impression], list[Snapshot]]] = []
        self.failures = 0

    async def log_impressions(self, shown: Sequence[Impression], kept: Sequence[Snapshot]) -> None:
        if self.failures:
            self.failures -= 1
            raise AttuneError("away")
        self.commands.append((list(shown), list(kept)))


def shown(position: int) -> Impression:
    told: dict[str, Any] = {"recommendation_id": "rec_1", "user_id": "u", "item_id": "i", "release": "1"}
    numbers: dict[str, Any] = dict.fromkeys(("timestamp", "requested_at", "score", "propensity"), 1.0)
    return Impression(position=position, **told, **numbers)


def snapshot(name: str) -> Snapshot:
    return Snapshot(recommendation_id=name, user_id="u", requested_at=1.0, expires_at=2.0, body=b"")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(impressions, "INTERVAL_S", 0.0)
    return Store()


async def test_a_ranking_travels_with_the_impressions_of_its_first_page(store: Store) -> None:
    writer = ImpressionWriter(store)  # type: ignore[arg-type]
    writer.put([shown(1), shown(2)])
    writer.keep(snapshot("rec_1"))
    await writer.close()
    assert store.commands == [([shown(1), shown(2)], [snapshot("rec_1")])]


async def test_a_ranking_without_impressions_is_written_too(store: Store) -> None:
    writer = ImpressionWriter(store)  # type: ignore[arg-type]
    writer.keep(snapshot("rec_1"))
    await writer.close()
    assert store.commands == [([], [snapshot("rec_1")])]


async def test_rankings_beyond_the_bound_are_dropped_and_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impressions, "MAX_SNAPSHOTS_WAITING", 3)
    monkeypatch.setattr(impressions, "MAX_SNAPSHOTS", 2)
    dropped = SNAPSHOTS.labels("dropped")._value.get()
    writer = ImpressionWriter(store)  # type: ignore[arg-type]
    for number in range(5):
        writer.keep(snapshot(f"rec_{number}"))
    await writer.close()
    assert SNAPSHOTS.labels("dropped")._value.get() - dropped == 2
    assert [[one.recommendation_id for one in kept] for _, kept in store.commands] == [["rec_0", "rec_1"], ["rec_2"]]


async def test_a_store_that_is_away_costs_what_was_under_way_and_no_more(store: Store) -> None:
    store.failures, failed = 1, SNAPSHOTS.labels("failed")._value.get()
    writer = ImpressionWriter(store)  # type: ignore[arg-type]
    writer.keep(snapshot("rec_1"))
    async with asyncio.timeout(5):
        await writer.close()
    assert SNAPSHOTS.labels("failed")._value.get() - failed == 1
    writer.keep(snapshot("rec_2"))
    await writer.close()
    assert store.commands == [([], [snapshot("rec_2")])]

"""Impressions and snapshots are written behind the reply's back: collected, sent in batches, counted when dropped.

A ranking is kept in the same write as the impressions of its first page: a reply waits for neither, and the store pays
one commit for all replies of a tenth of a second. What an ingress holds when its machine dies is lost with it, which
costs those users their next pages and nothing that anybody was promised as durable; one that is stopped writes it.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from interest.errors import AttuneError
from interest.store.protocol import Impression, Snapshot
from serve.metrics import IMPRESSIONS, SNAPSHOTS
from serve.schema import GeneratedContent
from serve.store_commands import StoreClient

MAX_WAITING = 100_000
MAX_BATCH = 5_000
MAX_SNAPSHOTS_WAITING = 10_000  # of about 2 kB
MAX_SNAPSHOTS = 1_000
INTERVAL_S = 0.1

Entry = TypeVar("Entry")

log = logging.getLogger("attune.impressions")


class Shown(Protocol):
    """One item of a reply."""

    @property
    def item_id(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def score(self) -> float: ...
    @property
    def propensity(self) -> float: ...
    @property
    def generated(self) -> GeneratedContent | None: ...


class ShownItem(NamedTuple):
    """A `Shown` without a text, and cheaper than what a reply says about it."""

    item_id: str
    rank: int  # from 1
    score: float
    propensity: float
    generated: None = None


class ImpressionWriter:
    """Two bounded queues and one task that empties them; a reply never waits for it."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._waiting: deque[Impression] = deque()
        self._snapshots: deque[Snapshot] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, impressions: Sequence[Impression]) -> None:
        """Beyond `MAX_WAITING` the newest are dropped and counted."""
        room = MAX_WAITING - len(self._waiting)
        self._waiting.extend(impressions[:room])
        if len(impressions) > room:
            IMPRESSIONS.labels("dropped").inc(len(impressions) - room)
        self._start()

    def keep(self, snapshot: Snapshot) -> None:
        """Beyond `MAX_SNAPSHOTS_WAITING` it is dropped and counted."""
        if len(self._snapshots) >= MAX_SNAPSHOTS_WAITING:
            SNAPSHOTS.labels("dropped").inc()
        else:
            self._snapshots.append(snapshot)
            self._start()

    async def close(self) -> None:
        """Write what waits."""
        if self._task is not None:
            await self._task

    def _start(self) -> None:
        if self._task is None or self._task.done():
            # Its own context: the batch must outlive the request that happened to start the task.
            self._task = asyncio.get_running_loop().create_task(self._drain(), context=contextvars.Context())

    async def _drain(self) -> None:
        while self._waiting or self._snapshots:
            await asyncio.sleep(INTERVAL_S)
            shown, kept = _taken(self._waiting, MAX_BATCH), _taken(self._snapshots, MAX_SNAPSHOTS)
            try:
                await self._store.log_impressions(shown, kept)
            except AttuneError as error:
                result = "failed"
                log.warning("%d impressions and %d rankings were not written: %s", len(shown), len(kept), error.message)
            else:
                result = "written"
            IMPRESSIONS.labels(result).inc(len(shown))
            SNAPSHOTS.labels(result).inc(len(kept))


def impressions_of(
    reply_id: str,
    items: Sequence[Shown],
    origins: Sequence[str],
    user_id: str,
    release: str,
    timestamp: float,
    requested_at: float,
) -> list[Impression]:
    """What a reply shows to this user; `origins` of its texts, or none at all.

    `timestamp` is by the server's one clock, `requested_at` by the wall's.
    """
    return [
        Impression(
            recommendation_id=reply_id,
            user_id=user_id,
            item_id=item.item_id,
            position=item.rank,
            timestamp=timestamp,
            requested_at=requested_at,
            score=item.score,
            propensity=item.propensity,
            release=release,
            text=item.generated.text if item.generated else "",
            source=item.generated.source if item.generated else "",
            origin=origin,
        )
        for item, origin in zip(items, origins or [""] * len(items), strict=True)
    ]


def _taken(waiting: deque[Entry], most: int) -> list[Entry]:
    return [waiting.popleft() for _ in range(min(most, len(waiting)))]

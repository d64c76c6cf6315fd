"""Impressions are written behind the reply's back: collected, sent in batches, counted when dropped."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Sequence

from interest.errors import AttuneError
from interest.store.protocol import Impression
from serve.metrics import IMPRESSIONS
from serve.store_commands import StoreClient

MAX_WAITING = 100_000
MAX_BATCH = 5_000
INTERVAL_S = 0.1

log = logging.getLogger("attune.impressions")


class ImpressionWriter:
    """A bounded queue and one task that empties it; a reply never waits for it."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._waiting: deque[Impression] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, impressions: Sequence[Impression]) -> None:
        """Beyond `MAX_WAITING` the newest are dropped and counted."""
        room = MAX_WAITING - len(self._waiting)
        self._waiting.extend(impressions[:room])
        if len(impressions) > room:
            IMPRESSIONS.labels("dropped").inc(len(impressions) - room)
        if self._task is None or self._task.done():
            # Its own context: the batch must outlive the request that happened to start the task.
            self._task = asyncio.get_running_loop().create_task(self._drain(), context=contextvars.Context())

    async def close(self) -> None:
        """Write what waits."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            await asyncio.sleep(INTERVAL_S)
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            try:
                await self._store.log_impressions(batch)
            except AttuneError as error:
                IMPRESSIONS.labels("failed").inc(len(batch))
                log.warning("%d impressions were not written: %s", len(batch), error.message)
            else:
                IMPRESSIONS.labels("written").inc(len(batch))

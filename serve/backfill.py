"""Backfill: gives content vectors to items stored without: imported ones, or put while no encoder answered."""

import asyncio
import logging
from collections.abc import Callable

import numpy as np

from interest.errors import AttuneError
from interest.store.protocol import StoreReader
from serve.ranker import Stage
from serve.store_commands import StoreClient

ENCODED_AT_ONCE = 64
INTERVAL_S = 1.0

log = logging.getLogger("attune.backfill")


class Backfill:
    """Looks again whenever items have changed. Several replicas may do this at once: the first to write is right."""

    def __init__(
        self, reader: StoreReader, store: StoreClient, encoder: Stage, encoder_name: str, item_seq: Callable[[], int]
    ) -> None:
        """`item_seq` tells the sequence number of the latest item change that this replica knows of."""
        self._reader = reader
        self._store = store
        self._encoder = encoder
        self._encoder_name = encoder_name
        self._item_seq = item_seq

    async def run(self) -> None:
        """Until cancelled."""
        complete_at = -1
        while True:
            seq = self._item_seq()
            try:
                if seq != complete_at and not await self.step():
                    complete_at = seq
            except AttuneError as error:
                log.warning("items still lack content vectors: %s", error.message)
                await asyncio.sleep(INTERVAL_S)
            await asyncio.sleep(INTERVAL_S if seq == complete_at else 0)

    async def step(self) -> int:
        """Encode some of the items that lack a vector; returns how many there were."""
        missing = await asyncio.to_thread(
            self._reader.items_without_embedding, self._encoder_name, limit=ENCODED_AT_ONCE
        )
        if missing:
            texts = np.array([change.item.content() for change in missing if change.item], dtype=object)
            vectors = (await self._encoder({"text": texts}))["embedding"]
            encoded = [(change.item_id, change.seq) for change in missing]
            await self._store.set_embeddings(encoded, vectors, self._encoder_name)
        return len(missing)

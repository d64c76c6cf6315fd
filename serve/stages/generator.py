"""The generator as a model: tasks in, checked texts out, from one vLLM engine."""

import asyncio
from contextlib import closing

import msgspec
import numpy as np

from interest.batch import Tensors
from interest.store.open import open_reader
from interest.store.protocol import StoreReader
from serve.config import ServerConfig
from serve.generation.engine import GenerationEngine
from serve.generation.generator import GeneratedText, Generator
from serve.generation.prompt import GenerationTask
from serve.metrics import ENGINE_PREFIX_TOKENS, GENERATING

REPORT_INTERVAL_S = 0.25
ITEM_PAGE = 10_000


class GeneratorStage:
    """{"task": JSON [B], "max_tokens": int64 [B], "remaining_ms": float64 [B]} -> {"text": JSON [B]}.

    A text that was not finished in time is null.
    """

    name = "generator"

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._engine = GenerationEngine(config.generation.engine)
        self._generator: Generator | None = None
        self._reporting: asyncio.Task[None] | None = None

    async def load(self) -> None:
        if self._config.generation.enabled:
            await self._engine.start()
            known = frozenset() if self._engine.own_layout else await asyncio.to_thread(self._read_facets)
            self._generator = Generator(self._engine, known_facets=known)
            self._reporting = asyncio.get_running_loop().create_task(self._report())

    async def infer(self, tensors: Tensors) -> Tensors:
        """Cancelling it aborts the engine's requests."""
        texts: list[GeneratedText | None] = [None] * len(tensors["task"])
        if self._generator is not None:
            tasks = [msgspec.json.decode(body, type=GenerationTask) for body in tensors["task"]]
            deadline_s = float(tensors["remaining_ms"].min()) / 1000
            GENERATING.inc(len(tasks))
            try:
                texts = await self._generator.write(tasks, int(tensors["max_tokens"].max()), deadline_s)
            finally:
                GENERATING.dec(len(tasks))
        packed = np.empty(len(texts), dtype=object)
        packed[:] = [msgspec.json.encode(text) for text in texts]
        return {"text": packed}

    async def check_health(self) -> None:
        """Raises `EngineDead`, so that Ray replaces this replica at once."""
        if self._generator is not None:
            await self._engine.check_health()

    async def unload(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
        self._generator = None
        self._engine.shutdown()

    def _read_facets(self) -> frozenset[str]:
        with closing(open_reader(self._config.store.url)) as reader:
            return facet_names(reader)

    async def _report(self) -> None:
        """The engine's own counters as metrics; those of its queue stand still while it has nothing to do."""
        while True:
            stats = self._engine.stats()
            ENGINE_PREFIX_TOKENS.labels("all").set(stats.prefix_queries)
            ENGINE_PREFIX_TOKENS.labels("hit").set(stats.prefix_hits)
            await asyncio.sleep(REPORT_INTERVAL_S)


def facet_names(reader: StoreReader, page: int = ITEM_PAGE) -> frozenset[str]:
    """The categories and tags of the whole catalogue, case-folded: what a text may not name of another item's."""
    names: set[str] = set()
    seq = 0
    while changes := reader.item_changes(seq, page):
        seq = changes[-1].seq
        items = [change.item for change in changes if change.item is not None]
        names.update(name.strip().casefold() for item in items for name in (*item.categories, *item.tags))
    return frozenset(names - {""})

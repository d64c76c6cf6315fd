"""The generator as a model: tasks in, checked texts out, from one vLLM engine."""

import asyncio

import msgspec
import numpy as np

from interest.batch import Tensors
from serve.config import GenerationConfig
from serve.generation.engine import GenerationEngine
from serve.generation.generator import GeneratedText, Generator
from serve.generation.prompt import GenerationTask
from serve.metrics import ENGINE_PREFIX_TOKENS, GENERATING

REPORT_INTERVAL_S = 0.25


class GeneratorStage:
    """{"task": JSON [B], "max_tokens": int64 [B], "remaining_ms": float64 [B]} -> {"text": JSON [B]}.

    A text that was not finished in time is null.
    """

    name = "generator"

    def __init__(self, config: GenerationConfig) -> None:
        self._config = config
        self._engine = GenerationEngine(config.engine)
        self._generator: Generator | None = None
        self._reporting: asyncio.Task[None] | None = None

    async def load(self) -> None:
        if self._config.enabled:
            await self._engine.start()
            self._generator = Generator(self._engine)
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

    async def _report(self) -> None:
        """The engine's own counters as metrics; those of its queue stand still while it has nothing to do."""
        while True:
            stats = self._engine.stats()
            ENGINE_PREFIX_TOKENS.labels("all").set(stats.prefix_queries)
            ENGINE_PREFIX_TOKENS.labels("hit").set(stats.prefix_hits)
            await asyncio.sleep(REPORT_INTERVAL_S)

"""The generator as a model: tasks in, checked texts out, from one vLLM engine."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from interest.batch import Tensors
from interest.errors import NotReady
from interest.store.open import open_reader
from interest.store.protocol import StoreReader
from ranking.release import ModelRepository
from serve.config import ServerConfig
from serve.generation.adapters import Adapters, with_adapters
from serve.generation.engine import GenerationEngine
from serve.generation.generator import GeneratedText, Generator
from serve.generation.prompt import GenerationTask
from serve.generation.raw import RawCompletions, RawRequest
from serve.metrics import ENGINE_PREFIX_TOKENS, GENERATING
from serve.model import Parts

REPORT_INTERVAL_S = 0.25
FOLLOW_ADAPTERS_S = 1.0  # how often the repository is asked for new versions
ITEM_PAGE = 10_000
Objects = npt.NDArray[np.object_]


class GeneratorStage:
    """Texts about items, {"task": JSON [B], "max_tokens": int64 [B]} -> {"text": JSON [B]}, null where time was short.

    Or raw completions, {"completion": JSON [B]} -> {"answer": JSON [B]}. Both with "remaining_ms": float64 [B] and,
    where callers are to be kept apart, "cache_salt": str [B], the same in all rows.
    """

    name = "generator"

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        wanted = config.generation.adapters
        interval_s = config.generation.stream_interval_ms / 1000
        self._engine = GenerationEngine(with_adapters(config.generation.engine, wanted), interval_s)
        self._adapters = Adapters(wanted, ModelRepository(Path(config.repository)), config.generation.engine.model)
        self._generator: Generator | None = None
        self._raw: RawCompletions | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def load(self) -> None:
        if self._config.generation.enabled:
            await self._engine.start()
            known = frozenset() if self._engine.own_layout else await asyncio.to_thread(self._read_facets)
            await self._adapters.load(self._engine)
            settings = self._config.generation
            self._generator = Generator(
                self._engine,
                known_facets=known,
                constrain_title=settings.constrain_title,
                adapter_of=self._adapters.of_task,
            )
            self._raw = RawCompletions(self._engine, self._adapters.named)
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(one) for one in (self._report(), self._follow_adapters())]

    async def infer(self, tensors: Tensors) -> Tensors:
        """Cancelling it aborts the engine's requests."""
        if "completion" in tensors:
            return {"answer": await self._answers(tensors)}
        texts: list[GeneratedText | None] = [None] * len(tensors["task"])
        if self._generator is not None:
            tasks = _tasks(tensors)
            with _counted(len(tasks)):
                most = int(tensors["max_tokens"].max())
                texts = await self._generator.write(tasks, most, _deadline_s(tensors), _salt(tensors))
        return {"text": packed(texts)}

    async def stream(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        """`TextPart`s of tasks, `Piece`s of raw completions, as JSON."""
        if "completion" in tensors:
            asked = [msgspec.json.decode(body, type=RawRequest) for body in tensors["completion"]]
            growing: AsyncGenerator[Sequence[tuple[int, object]], None] = self._require_raw().stream(
                asked, _deadline_s(tensors), _salt(tensors)
            )
        elif self._generator is not None:
            asked_tasks, max_tokens = _tasks(tensors), int(tensors["max_tokens"].max())
            growing = self._generator.stream(asked_tasks, max_tokens, _deadline_s(tensors), _salt(tensors))
        else:
            return
        with _counted(len(tensors["remaining_ms"])):
            async with aclosing(growing):
                async for parts in growing:
                    yield [(row, msgspec.json.encode(part)) for row, part in parts]

    async def check_health(self) -> None:
        """Raises `EngineDead`, so that Ray replaces this replica at once."""
        if self._generator is not None:
            await self._engine.check_health()

    async def unload(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._generator = self._raw = None
        self._engine.shutdown()

    async def _answers(self, tensors: Tensors) -> Objects:
        asked = [msgspec.json.decode(body, type=RawRequest) for body in tensors["completion"]]
        with _counted(len(asked)):
            return packed(await self._require_raw().complete(asked, _salt(tensors)))

    def _require_raw(self) -> RawCompletions:
        if self._raw is None:
            raise NotReady("generation: switched off in this server's config (generation.enabled)")
        return self._raw

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

    async def _follow_adapters(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_ADAPTERS_S)
            await self._adapters.follow(self._engine)


def packed(values: Sequence[object]) -> Objects:
    """JSON, one a row."""
    rows = np.empty(len(values), dtype=object)
    rows[:] = [msgspec.json.encode(value) for value in values]
    return rows


def _tasks(tensors: Tensors) -> list[GenerationTask]:
    return [msgspec.json.decode(body, type=GenerationTask) for body in tensors["task"]]


def _deadline_s(tensors: Tensors) -> float:
    return float(tensors["remaining_ms"].min()) / 1000


def _salt(tensors: Tensors) -> str:
    return str(tensors["cache_salt"][0]) if "cache_salt" in tensors else ""


@contextmanager
def _counted(texts: int) -> Iterator[None]:
    GENERATING.inc(texts)
    try:
        yield
    finally:
        GENERATING.dec(texts)


def facet_names(reader: StoreReader, page: int = ITEM_PAGE) -> frozenset[str]:
    """The categories and tags of the whole catalogue, case-folded: what a text may not name of another item's."""
    names: set[str] = set()
    seq = 0
    while changes := reader.item_changes(seq, page):
        seq = changes[-1].seq
        items = [change.item for change in changes if change.item is not None]
        names.update(name.strip().casefold() for item in items for name in (*item.categories, *item.tags))
    return frozenset(names - {""})

"""Dynamic batching: never waits while the next stage is idle, fills while it is busy, and forgets callers who left."""

import asyncio
import contextvars
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W")


class BatchRunner(ABC, Generic[W]):
    """Starts a batch of what waits whenever one of its slots is free.

    Batches run in an empty context of their own: Ray Serve registers nested calls under the request whose context
    made them and cancels them with it, so in a caller's context one caller leaving would take its neighbours along.
    """

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False

    @abstractmethod
    def _take(self) -> list[W]:
        """The next batch, no longer waiting; empty when nobody waits."""

    @abstractmethod
    async def _run(self, batch: list[W]) -> None:
        """Answer every caller of the batch."""

    def _schedule(self) -> None:
        # One turn of the loop later, so that everything that arrived in this turn travels together.
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_batches, context=contextvars.Context())

    def _start_batches(self) -> None:
        self._scheduled = False
        while len(self._running) < self._max_in_flight and (batch := self._take()):
            task = asyncio.get_running_loop().create_task(self._run(batch), context=contextvars.Context())
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_batches()

    async def _ended(self) -> None:
        """Wait for the batches under way."""
        if self._running:
            await asyncio.wait(self._running)


class Batcher(BatchRunner[tuple[T, "asyncio.Future[R]"]], Generic[T, R]):
    """Collects single submissions into batches for `process`.

    `process` gets 1 to `max_batch_size` items and returns as many results in order; a result that is an exception
    is raised to its own caller only. An exception from `process` itself reaches every caller of that batch.
    """

    def __init__(
        self,
        process: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        max_batch_size: int,
        max_in_flight: int = 1,
    ) -> None:
        super().__init__(max_in_flight)
        self._process = process
        self._max_batch_size = max_batch_size
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def submit(self, item: T) -> R:
        """The result for this item. Cancelling the caller drops the item, if it was not sent yet, and nothing else."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._schedule()
        return await future

    async def close(self) -> None:
        """Wait for the batches under way; what still waits is cancelled."""
        while self._waiting:
            self._waiting.popleft()[1].cancel()
        await self._ended()

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < self._max_batch_size:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch

    async def _run(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._process([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for a batch of {len(batch)}")
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # whatever it is, every caller of the batch must hear of it
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

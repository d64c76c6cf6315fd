"""Dynamic batching: never waits while the next stage is idle, fills while it is busy, and forgets callers who left."""

import asyncio
import contextvars
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
W = TypeVar("W")


LEAST_SHARE = 8  # smaller batches are not made smaller yet
# A free slot beside a busy one waits for its share: such a part of the time that batches take lately, at most so long.
PATIENCE = 0.5
MOST_PATIENCE_S = 0.025


class BatchRunner(ABC, Generic[W]):
    """Starts a batch of what waits whenever an instance is idle; a further slot takes an equal share of all there is.

    So slots do not split a steady load into more and smaller batches than there are slots: callers who have just been
    answered ask again a moment after the slot was free.

    Batches run in an empty context of their own: Ray Serve registers nested calls under the request whose context
    made them and cancels them with it, so in a caller's context one caller leaving would take its neighbours along.
    """

    def __init__(self, max_in_flight: int, instances: int = 1) -> None:
        """`instances`: so many batches are computed at the same time, and do not wait for a share."""
        self._max_in_flight = max_in_flight
        self._instances = instances
        self._running: dict[asyncio.Task[None], int] = {}  # how many callers each batch has
        self._scheduled = False
        self._lasting_s = 0.0  # of a batch, lately
        self._timer: asyncio.TimerHandle | None = None  # until a free slot waits no longer

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Callers that wait for a batch."""

    @abstractmethod
    def _take(self, most: int) -> list[W]:
        """The next batch of at most so many callers, no longer waiting; empty when nobody waits."""

    @abstractmethod
    async def _run(self, batch: list[W]) -> None:
        """Answer every caller of the batch."""

    def _schedule(self) -> None:
        # One turn of the loop later, so that everything that arrived in this turn travels together.
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn, context=contextvars.Context())

    def _turn(self) -> None:
        self._scheduled = False
        self._start_batches()

    def _start_batches(self, patient: bool = True) -> None:
        loop = asyncio.get_running_loop()
        while len(self._running) < self._max_in_flight and (waiting := self.waiting):
            others = sum(self._running.values())
            share = math.ceil((waiting + others) / self._max_in_flight)
            if patient and len(self._running) >= self._instances and waiting < share:
                if self._timer is None:
                    wait_s = min(PATIENCE * self._lasting_s, MOST_PATIENCE_S)
                    self._timer = loop.call_later(wait_s, self._start_batches, False, context=contextvars.Context())
                return
            self._stop_timer()
            if not (batch := self._take(max(share, LEAST_SHARE))):
                return
            task = loop.create_task(self._timed(batch), context=contextvars.Context())
            self._running[task] = len(batch)
            task.add_done_callback(self._finished)
            patient = True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _timed(self, batch: list[W]) -> None:
        start = time.perf_counter()
        await self._run(batch)
        self._lasting_s = 0.8 * self._lasting_s + 0.2 * (time.perf_counter() - start)

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._start_batches()

    async def drain(self) -> None:
        """Returns once all who wait have been answered."""
        while self.waiting or self._running:
            await (asyncio.wait(self._running) if self._running else asyncio.sleep(0))

    async def _ended(self) -> None:
        """Wait for the batches under way."""
        self._stop_timer()
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
        instances: int = 1,
    ) -> None:
        super().__init__(max_in_flight, instances)
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

    def _take(self, most: int) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while self._waiting and len(batch) < min(most, self._max_batch_size):
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

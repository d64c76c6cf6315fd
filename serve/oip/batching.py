"""Triton's dynamic batching: requests of many callers become one batch of tensors, and each gets its rows back.

An idle model is never kept waiting; while it is busy its next batch fills. `max_queue_delay_microseconds` is therefore
not used: a delay with an idle model costs its callers latency and gains nothing that the busy time does not give.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from interest.batch import Tensors
from interest.errors import AttuneError
from serve.batcher import BatchRunner
from serve.oip.errors import QueueFull
from serve.oip.message import Answer
from serve.oip.model_config import DynamicBatching, QueuePolicy
from serve.oip.statistics import Execution, Failure, ModelStatistics

NOT_THE_REQUESTS = (408, 429, 503)  # statuses of errors that no request is to blame for
AGING_S = 1.0  # waiting so long is worth one priority level: low priorities are served late, not never
Signature = tuple[tuple[str, str, tuple[int, ...]], ...]
Execute = Callable[[Tensors], Awaitable[Answer]]


@dataclass(eq=False, slots=True)
class _Waiting:
    tensors: Tensors
    rows: int
    level: int
    since: float  # perf_counter seconds
    future: asyncio.Future[Answer]
    signature: Signature
    timer: asyncio.TimerHandle | None = None
    batch: "list[_Waiting] | None" = None  # that it travels in, once it does
    task: "asyncio.Task[None] | None" = None  # that computes the batch
    late: bool = False  # its time in the queue is over, and its policy says to go on after all others


class DynamicBatcher(BatchRunner[_Waiting]):
    """The queue before one model. Errors: `QueueFull`, and whatever the model raises, each to its own caller.

    When a batch fails, its requests are tried again one by one: one that is poisoned fails alone. Not so when nothing
    in the requests can be at fault, because the model is away or overloaded.
    """

    def __init__(
        self,
        execute: Execute,
        max_batch_size: int,
        settings: DynamicBatching | None,
        statistics: ModelStatistics,
        max_in_flight: int = 1,
        instances: int = 1,
        max_queue_size: int = 1024,
    ) -> None:
        """`settings` None: each request is a batch of its own. `max_batch_size` 0: and has no rows to be cut."""
        super().__init__(max_in_flight, instances)
        self._execute = execute
        self._batched = max_batch_size > 0
        self._max_rows = max_batch_size if settings is not None else 1
        self._settings = settings or DynamicBatching()
        self._statistics = statistics
        self._max_queue_size = max_queue_size
        self._levels: dict[int, deque[_Waiting]] = {}  # by priority, each first come first served

    @property
    def waiting(self) -> int:
        return sum(map(len, self._levels.values()))

    async def submit(self, tensors: Tensors, rows: int, priority: int = 0, timeout_us: int = 0) -> Answer:
        """The outputs of these rows, and the version that gave them.

        Cancelling the caller drops the request; a batch that all of its callers have left is computed no further.

        `priority`: 1 is the most urgent, 0 the model's default. `timeout_us`: in the queue, 0 for the model's default.
        """
        level = self._level(priority)
        policy = self._settings.priority_queue_policy.get(level, self._settings.default_queue_policy)
        queue = self._levels.setdefault(level, deque())
        bound = policy.max_queue_size or self._max_queue_size
        if len(queue) >= bound:
            self._statistics.failed(Failure.REJECTED)
            raise QueueFull("Exceeds maximum queue size", self._statistics.drain_s(bound))
        loop = asyncio.get_running_loop()
        one = _Waiting(tensors, rows, level, time.perf_counter(), loop.create_future(), _signature(tensors))
        queue.append(one)
        self._arm(one, policy, timeout_us)
        self._schedule()
        with self._statistics.pending():
            try:
                return await one.future
            except asyncio.CancelledError:
                self._statistics.failed(Failure.CANCELED)
                self._leave(one)
                if one.task is not None and one.batch is not None and all(other.future.done() for other in one.batch):
                    one.task.cancel()
                raise
            finally:
                if one.timer is not None:
                    one.timer.cancel()

    async def close(self, gone: AttuneError | None = None) -> None:
        """Wait for the batches under way; what still waits hears `gone`, or is cancelled without one."""
        for queue in self._levels.values():
            while queue:
                future = queue.popleft().future
                if gone is None:
                    future.cancel()
                elif not future.done():
                    future.set_exception(gone)
        await self._ended()

    def _leave(self, one: _Waiting) -> None:
        queue = self._levels[one.level]
        if one.batch is None and one in queue:
            queue.remove(one)

    def _level(self, priority: int) -> int:
        """Priorities beyond the model's levels count as its default, as Triton has it."""
        levels = self._settings.priority_levels
        return priority if 0 < priority <= levels else self._settings.default_priority_level

    def _arm(self, one: _Waiting, policy: QueuePolicy, timeout_us: int) -> None:
        own = timeout_us if policy.allow_timeout_override and timeout_us > 0 else policy.default_timeout_microseconds
        if own:
            loop = asyncio.get_running_loop()
            one.timer = loop.call_later(own / 1e6, self._expired, one, policy, context=contextvars.Context())

    def _expired(self, one: _Waiting, policy: QueuePolicy) -> None:
        if one.future.done() or one not in self._levels[one.level]:
            return
        if policy.timeout_action == "DELAY":
            one.late = True
            return
        self._leave(one)
        self._statistics.failed(Failure.REJECTED)
        one.future.set_exception(QueueFull("Request timeout expired", self._statistics.drain_s(1)))

    def _take(self, most: int) -> list[_Waiting]:
        """The most urgent request and those that go with it, at most `max_batch_size` rows."""
        ordered = self._in_order()
        if not ordered:
            return []
        fitting = [one for one in ordered if one.signature == ordered[0].signature]
        batch = _filled(fitting[:most], self._max_rows)
        preferred = [size for size in self._settings.preferred_batch_size if size <= _rows(batch)]
        if preferred:
            batch = _filled(batch, max(preferred)) or batch
        taken = set(map(id, batch))
        for level, queue in self._levels.items():
            self._levels[level] = deque(one for one in queue if id(one) not in taken and not one.future.done())
        return batch

    def _in_order(self) -> list[_Waiting]:
        now = time.perf_counter()
        alive = [one for queue in self._levels.values() for one in queue if not one.future.done()]
        return sorted(alive, key=lambda one: (one.late, one.level - (now - one.since) / AGING_S, one.since))

    async def _run(self, batch: list[_Waiting]) -> None:
        for one in batch:
            one.batch, one.task = batch, asyncio.current_task()
        try:
            await self._answered(batch)
        except asyncio.CancelledError:
            for one in batch:
                one.future.cancel()
            raise
        except Exception as error:  # whatever it is, every caller of the batch must hear of it
            waiting = [one for one in batch if not one.future.done()]
            if len(batch) > 1 and not (isinstance(error, AttuneError) and error.status in NOT_THE_REQUESTS):
                await asyncio.gather(*(self._run([one]) for one in waiting))
                return
            self._statistics.failed(Failure.BACKEND, len(waiting))
            for one in waiting:
                one.future.set_exception(error)

    async def _answered(self, batch: Sequence[_Waiting]) -> None:
        begun = time.perf_counter()
        merged = _merged([one.tensors for one in batch])
        sent = time.perf_counter()
        answer = await self._execute(merged)
        back = time.perf_counter()
        parts = _cut(answer, [one.rows for one in batch]) if self._batched else [answer]
        answered = 0
        for one, part in zip(batch, parts, strict=True):
            if not one.future.done():
                answered += 1
                one.future.set_result(part)
        queued = sum(begun - one.since for one in batch)
        spent = (sent - begun, back - sent, time.perf_counter() - back)
        self._statistics.executed(Execution(answered, _rows(batch), queued, *spent), answer.version)


def _filled(waiting: Sequence[_Waiting], rows: int) -> list[_Waiting]:
    """The first of these that together have at most so many rows."""
    ends = accumulate(one.rows for one in waiting)
    return [one for place, (one, end) in enumerate(zip(waiting, ends, strict=True)) if end <= rows or place == 0]


def _cut(answer: Answer, rows: Sequence[int]) -> list[Answer]:
    """Each request's own rows. Raises `AttuneError` when the outputs have not as many as there are."""
    for name, array in answer.tensors.items():
        if array.ndim == 0 or len(array) != sum(rows):
            raise AttuneError(f"output '{name}' has shape {list(array.shape)}: its first size must be {sum(rows)}")
    ends = list(accumulate(rows))
    return [
        Answer(answer.version, {name: array[end - size : end] for name, array in answer.tensors.items()})
        for end, size in zip(ends, rows, strict=True)
    ]


def _rows(batch: Sequence[_Waiting]) -> int:
    return sum(one.rows for one in batch)


def _signature(tensors: Tensors) -> Signature:
    """What must agree for tensors to be laid one after the other: names, dtypes, shapes beside the first size."""
    return tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in tensors.items()))


def _merged(parts: Sequence[Tensors]) -> Tensors:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

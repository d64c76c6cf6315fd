"""GroupCommit: many callers, one writer thread, one durable commit for all who wait at that moment."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from interest.errors import NotReady
from interest.events import Record
from interest.store.protocol import AppendResult, StoreWriter

T = TypeVar("T")

log = logging.getLogger("attune.store")


class TransactionalWriter(StoreWriter, Protocol):
    """A writer that can commit several calls as one."""

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside commit together when it ends, or none of them when it raises."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Within a transaction: the writes inside happen whole or, when it raises, not at all."""
        ...


@dataclass(slots=True)
class _Call:
    """One caller's operation, and what came of it."""

    operation: Callable[[StoreWriter], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class GroupCommit:
    """The writer's only user. A caller hears of success once the transaction that holds its writes is durable.

    A caller who leaves does not take its writes back: they may still be written, never half of them.
    """

    def __init__(self, writer: TransactionalWriter, max_batch: int = 1000) -> None:
        """`max_batch` callers share a transaction at most. `close` closes the writer too."""
        self._writer = writer
        self._max_batch = max_batch
        self._waiting: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closing = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def append(self, records: Sequence[Record]) -> AppendResult:
        """Log and fold durably. Raises `ConflictingWrite` for this caller alone."""
        return await self.run(lambda writer: writer.append(records))

    async def run(self, operation: Callable[[StoreWriter], T]) -> T:
        """What the operation returned, once its writes are durable; what it raised, once they are undone."""
        if self._closing:
            raise NotReady("store: closed, it takes no more writes")
        loop = asyncio.get_running_loop()
        call = _Call(operation, loop, loop.create_future())
        self._waiting.put(call)
        result: T = await call.future
        return result

    def check(self) -> None:
        """Raises `NotReady` when the last transaction could not be committed, or the writer's thread has ended."""
        if self._failure is not None:
            raise NotReady(f"store: the last commit failed with {type(self._failure).__name__}")
        if not self._thread.is_alive():
            raise NotReady("store: the writer's thread has ended")

    async def close(self) -> None:
        """Write what waits, then close the writer."""
        self._closing = True
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while calls := self._take():
            self._commit(calls)
        self._writer.close()

    def _take(self) -> list[_Call]:
        """Everyone who waits, at most `max_batch`; waits for the first. Empty once closed and drained."""
        first = self._waiting.get()
        calls = [] if first is None else [first]
        while calls and len(calls) < self._max_batch:
            try:
                call = self._waiting.get_nowait()
            except queue.Empty:
                break
            if call is None:
                self._waiting.put(None)  # for the next turn
                break
            calls.append(call)
        return calls

    def _commit(self, calls: Sequence[_Call]) -> None:
        try:
            with self._writer.transaction():
                for call in calls:
                    self._attempt(call)
            self._failure = None
        except Exception as error:  # of the database: nothing of this transaction is there, so everyone hears it
            log.exception("a transaction of %d callers failed", len(calls))
            self._failure = error
            for call in calls:
                call.error = call.error or error
        for call in calls:
            _settle(call)

    def _attempt(self, call: _Call) -> None:
        try:
            with self._writer.savepoint():
                call.result = call.operation(self._writer)
        except Exception as error:  # of this caller's own making: the others go on
            call.error = error


def _settle(call: _Call) -> None:
    try:
        call.loop.call_soon_threadsafe(_answer, call)
    except RuntimeError:  # the caller's loop has been closed: nobody is left to hear it
        log.debug("a caller's loop ended before its answer")


def _answer(call: _Call) -> None:
    if call.future.done():  # the caller left
        return
    if call.error is not None:
        call.future.set_exception(call.error)
    else:
        call.future.set_result(call.result)

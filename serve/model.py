"""Model: what every stage is to the server, whatever it computes and wherever it runs."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, runtime_checkable

from interest.batch import Tensors
from interest.errors import WrongRelease

Parts = list[tuple[int, bytes]]  # (row of the request, JSON of what is new of its answer)
_Asked = tuple[Callable[[], Tensors], asyncio.Future[Tensors], asyncio.AbstractEventLoop]
Streaming = Callable[[Tensors], AsyncGenerator[Parts, None]]  # a stage that answers bit by bit, as its callers see it


class Model(Protocol):
    """A stage: loads one version, answers batches of named arrays, unloads.

    `infer` must not keep or change its inputs; several calls may be under way at once.
    """

    name: str

    async def load(self) -> None:
        """Read the artefacts and warm up. Raises `InvalidRelease` when they are not what the manifest says."""

    async def infer(self, tensors: Tensors) -> Tensors:
        """One batch in, one batch out: every output has one row (or one ragged slice) per row of the batch."""
        ...

    async def check_health(self) -> None:
        """Raises when this replica should be replaced."""

    async def unload(self) -> None:
        """Free what `load` took; calling it twice is harmless."""


@runtime_checkable
class StreamingModel(Protocol):
    """A model that can also answer bit by bit."""

    def stream(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        """What is new, again and again. Closing the iterator stops the work; the errors are those of `infer`."""
        ...


class OneThread:
    """Runs blocking work in one thread of its own, so that the replica's loop keeps answering health checks.

    An executor of the standard library does the same for two to seven times the processor time, twice that of a small
    stage itself: each piece of work has two futures there, with a lock and callbacks in either direction.
    """

    def __init__(self, name: str) -> None:
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()  # None: no more will come
        self._closed = False
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], Tensors]) -> Tensors:
        """Work of which nobody waits for the result any more when its turn comes is not done."""
        if self._closed:
            raise RuntimeError("the thread is closed")
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Tensors] = loop.create_future()
        self._asked.put((work, result, loop))
        return await result

    def close(self) -> None:
        """Returns when all that was asked is done; calling it twice is harmless."""
        if not self._closed:
            self._closed = True
            self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            _do(*asked)
            del asked  # not until the next comes


def _do(work: Callable[[], Tensors], result: asyncio.Future[Tensors], loop: asyncio.AbstractEventLoop) -> None:
    if result.cancelled():
        return
    found: Tensors | BaseException
    try:
        found = work()
    except BaseException as error:  # whatever it is, who waits must hear of it
        found = error
    with suppress(RuntimeError):  # of a loop that is closed: nobody waits there
        loop.call_soon_threadsafe(_end, result, found)


def _end(result: asyncio.Future[Tensors], found: Tensors | BaseException) -> None:
    if result.done():
        return
    if isinstance(found, BaseException):
        result.set_exception(found)
    else:
        result.set_result(found)


def require_release(tensors: Tensors, held: str) -> None:
    """Every batch is stamped with the release it belongs to: no request ever mixes two."""
    asked = str(tensors["release"][0])
    if asked != held:
        raise WrongRelease(f"release {asked!r} was asked for, this replica holds {held!r}")

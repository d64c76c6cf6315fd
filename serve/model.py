"""Model: what every stage is to the server, whatever it computes and wherever it runs."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

from interest.batch import Tensors
from interest.errors import WrongRelease

Parts = list[tuple[int, bytes]]  # (row of the request, JSON of what is new of its answer)
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
    """Runs blocking work in one thread of its own, so that the replica's loop keeps answering health checks."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[[], Tensors]) -> Tensors:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        self._pool.shutdown(wait=True)


def require_release(tensors: Tensors, held: str) -> None:
    """Every batch is stamped with the release it belongs to: no request ever mixes two."""
    asked = str(tensors["release"][0])
    if asked != held:
        raise WrongRelease(f"release {asked!r} was asked for, this replica holds {held!r}")

"""What the routes call, and the bounds around the calls that the pipeline does not bound itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from interest.catalogue import Catalogue
from interest.errors import DeadlineExceeded
from interest.store.protocol import StoreReader
from serve.admission import Permits
from serve.completions import Completions
from serve.config import Limits
from serve.embeddings import Embeddings
from serve.evaluations import Evaluations
from serve.generations import Generations
from serve.metrics import IN_FLIGHT
from serve.oip.server import InferenceServer
from serve.paging import Pages
from serve.pipeline import Pipeline
from serve.users import Users
from serve.writes import Writes


class Readiness:
    """Set once, after a whole request has gone through every stage."""

    def __init__(self) -> None:
        self.ready = False
        self.reason = "warming up"


@dataclass(frozen=True, slots=True)
class Api:
    """Everything the routes call."""

    pipeline: Pipeline
    generations: Generations
    pages: Pages
    writes: Writes
    users: Users
    evaluations: Evaluations
    completions: Completions
    embeddings: Embeddings
    inference: InferenceServer
    reader: StoreReader
    catalogue: Catalogue
    permits: Permits
    write_permits: Permits  # of writes, and of reads of users and items
    readiness: Readiness
    limits: Limits
    version: dict[str, str]

    def write(self, timeout_ms: int | None) -> AbstractAsyncContextManager[None]:
        """Around a write: `Overloaded` without a permit, `DeadlineExceeded` when it takes too long."""
        return self._bounded(timeout_ms, ": the outcome is unknown, retry with the same id")

    def read(self, timeout_ms: int | None) -> AbstractAsyncContextManager[None]:
        """The same around a read."""
        return self._bounded(timeout_ms, "")

    @asynccontextmanager
    async def _bounded(self, timeout_ms: int | None, outcome: str) -> AsyncIterator[None]:
        timeout_s = self.pipeline.timeout_s(timeout_ms)
        with self.write_permits.hold(), IN_FLIGHT.track_inprogress():
            try:
                async with asyncio.timeout(timeout_s):
                    yield
            except TimeoutError as error:
                raise DeadlineExceeded(f"no answer within {1000 * timeout_s:.0f} ms{outcome}") from error

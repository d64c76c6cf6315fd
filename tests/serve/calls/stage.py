"""A stage of the tests that answers when it is told to, and what else the tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from interest.batch import Tensors
from serve.calls.listener import CallListener
from serve.calls.wire import Place

HOST = "127.0.0.1"


def asking(number: int) -> Tensors:
    return {"number": np.array([number])}


def number_of(tensors: Tensors) -> int:
    return int(tensors["number"][0])


class Stage:
    """Answers with what it was asked. Calls that are held wait until they are let go."""

    def __init__(self, holds: bool = False) -> None:
        self.asked: list[int] = []
        self.cancelled: list[int] = []
        self.error: BaseException | None = None
        self.may_answer: dict[int, asyncio.Event] = {}
        self._holds = holds
        self._news = asyncio.Condition()

    async def infer(self, tensors: Tensors) -> Tensors:
        number = number_of(tensors)
        self.asked.append(number)
        held = self.may_answer.setdefault(number, asyncio.Event())
        await self._tell()
        try:
            if self._holds:
                await held.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            await self._tell()
            raise
        if self.error is not None:
            raise self.error
        return tensors

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when something has happened at the stage and it is so."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(condition)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


class Replica:
    """A stage that listens."""

    def __init__(self, holds: bool = False, admit_s: float = 1.0) -> None:
        self.stage = Stage(holds)
        self.listener = CallListener("tested", self.stage.infer, admit_s)

    async def listens(self) -> Place:
        await self.listener.start(HOST)
        assert self.listener.place is not None
        self.place = self.listener.place
        return self.place

    def die(self) -> None:
        """As a killed process: nobody is told anything."""
        assert self.listener._server is not None
        self.listener._server.close()
        for caller in list(self.listener.callers):
            caller.abort()


@asynccontextmanager
async def listening(*replicas: Replica) -> AsyncIterator[set[Place]]:
    places = {await replica.listens() for replica in replicas}
    try:
        yield places
    finally:
        for replica in replicas:
            await replica.listener.stop(0.0)

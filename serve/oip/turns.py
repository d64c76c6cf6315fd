"""One load or unload of a model at a time, whichever ingress replica is asked."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from interest.errors import AttuneError
from serve.oip.deployed import Deployments

WAIT_S = 0.2  # between two questions whether the others are done

log = logging.getLogger("attune.models")


class Turns:
    """What one changes of a model, no other call may change meanwhile: replicas would serve a mixture of both."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments
        self._here: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # those that somebody holds
        self._doubtful: set[str] = set()  # models whose turn this ingress replica may have without knowing

    @asynccontextmanager
    async def of(self, model: str) -> AsyncIterator[None]:
        """Waits for the changes of this model that are under way. Raises `NotReady`."""
        async with self._here.setdefault(model, asyncio.Lock()):
            await self._take(model)
            try:
                yield
            finally:
                await self._release(model)

    async def _take(self, model: str) -> None:
        while True:
            try:
                if await self._deployments.claim(model):
                    return
            except AttuneError:
                self._doubtful.add(model)
                raise
            await asyncio.sleep(WAIT_S)

    async def give_back(self) -> None:
        """Turns of which it is not known whether they were given back: to be called again and again."""
        for model in self._doubtful - set(self._here):
            await self._release(model)

    async def _release(self, model: str) -> None:
        try:
            await self._deployments.release(model)
        except AttuneError as error:
            self._doubtful.add(model)
            log.warning("%s: other ingress replicas cannot change it yet: %s", model, error.message)
        else:
            self._doubtful.discard(model)

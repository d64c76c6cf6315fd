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
                await self._release(model)  # it may have gone through
                raise
            await asyncio.sleep(WAIT_S)

    async def _release(self, model: str) -> None:
        try:
            await self._deployments.release(model)
        except AttuneError as error:  # the next turn taken here gives it back, or the end of this ingress replica
            log.warning("%s: other ingress replicas cannot change it: %s", model, error.message)

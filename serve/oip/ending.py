"""What one ingress replica ends of the models that came after the start; what fails is tried again."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from interest.errors import AttuneError
from serve.oip.deployed import Deployed, Deployments
from serve.oip.draining import until_idle
from serve.oip.entries import FOLLOW_S
from serve.oip.turns import Turns

Work = Coroutine[Any, Any, None]

log = logging.getLogger("attune.models")


class Endings:
    """All ingress replicas look for what nobody needs, so that one of them may die at any moment.

    What this one could not end it keeps in mind: nobody else looks for that as long as it lives.
    """

    def __init__(self, deployments: Deployments, turns: Turns, spawn: Callable[[Work], object]) -> None:
        """`spawn` makes a task that its owner waits for when it closes."""
        self._deployments = deployments
        self._turns = turns
        self._spawn = spawn
        self._left: dict[str, Deployed] = {}  # by address, what could not be ended
        self._under_way: set[str] = set()  # addresses or names of what `clear` ends

    async def withdraw(self, deployed: Deployed) -> None:
        """Take it from the list. Raises `NotReady`; in case it went through all the same, `clear` ends it then."""
        try:
            await self._deployments.withdraw(deployed)
        except AttuneError:
            self._keep_in_mind(deployed)
            raise

    async def end_withdrawn(self, deployed: Deployed) -> None:
        """When every ingress replica has followed, and what all of them had accepted is answered."""
        await asyncio.sleep(2 * FOLLOW_S)
        await self.end(deployed, FOLLOW_S)

    async def end(self, deployed: Deployed, idle_s: float = 0.0) -> None:
        """Once it was idle for so long, unless it is on the list: a change that raised may have gone through."""
        if not deployed.address:
            return
        try:
            if (await self._deployments.published()).get(deployed.config.name) != deployed:
                if idle_s:
                    await until_idle(deployed.config.name, self._deployments.host(deployed), idle_s)
                await self._deployments.end(deployed)
        except AttuneError as error:
            self._keep_in_mind(deployed)
            log.warning("%s is to be ended later: %s", deployed.address, error.message)
        else:
            self._left.pop(deployed.address, None)

    async def clear(self, outdated: Sequence[Deployed]) -> None:
        """Begin to end what no ingress replica needs; `outdated`: what the server has now as models of its own."""
        for deployed in [*self._left.values(), *await self._deployments.orphans()]:
            self._aside(deployed, self.end_withdrawn)
        if outdated and await self._deployments.settled():
            for deployed in outdated:
                self._aside(deployed, self._withdraw_and_end)

    async def _withdraw_and_end(self, deployed: Deployed) -> None:
        async with self._turns.of(deployed.config.name):
            await self.withdraw(deployed)
        await self.end_withdrawn(deployed)

    def _keep_in_mind(self, deployed: Deployed) -> None:
        if deployed.address:
            self._left[deployed.address] = deployed

    def _aside(self, deployed: Deployed, work: Callable[[Deployed], Work]) -> None:
        what = deployed.address or deployed.config.name
        if what in self._under_way:
            return

        async def ending() -> None:
            try:
                await work(deployed)
            except AttuneError as error:
                log.warning("%s was not withdrawn: %s", what, error.message)
            finally:
                self._under_way.discard(what)

        self._under_way.add(what)
        self._spawn(ending())

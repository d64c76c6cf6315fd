"""`Deployments` in one process: what a cluster is to all of its ingress replicas, which it lets go on meanwhile."""

import asyncio
from collections.abc import Mapping, Sequence

from serve.oip.deployed import Deployed
from serve.oip.hosted import ModelHost
from serve.oip.model_config import ModelConfig
from serve.oip.model_folders import ModelFolder
from serve.oip.wanted import OwnKept, Wanted


class LocalDeployments:
    def __init__(self, url: str) -> None:
        self._url = url
        self._started = 0
        self.listed: dict[str, Deployed] = {}
        self.running: dict[str, ModelHost] = {}  # by address
        self.unowned: list[Deployed] = []
        self.all_new = True  # ingress replicas
        self.reasons: dict[str, str] = {}
        self.claimed: set[str] = set()

    async def published(self) -> Mapping[str, Deployed]:
        await asyncio.sleep(0)
        return dict(self.listed)

    async def claim(self, model: str) -> bool:
        await asyncio.sleep(0)
        free = model not in self.claimed
        self.claimed.add(model)
        return free

    async def release(self, model: str) -> None:
        self.claimed.discard(model)

    def new(self, config: ModelConfig) -> Deployed:
        self._started += 1
        return Deployed(config=config, address=f"{config.name}-{self._started}")

    async def start(self, deployed: Deployed, override: str) -> None:
        kept = OwnKept(Wanted(override=override))
        self.running[deployed.address] = ModelHost(self._url, deployed.config.name, kept)
        await self.running[deployed.address].start()

    async def started(self, model: str) -> Deployed:
        """Of its folder as it is."""
        deployed = self.new(ModelFolder(self._url, model).config())
        await self.start(deployed, "")
        return deployed

    async def publish(self, deployed: Deployed) -> bool:
        return self.listed.setdefault(deployed.config.name, deployed) is deployed

    async def replace(self, deployed: Deployed) -> None:
        await asyncio.sleep(0)
        self.listed[deployed.config.name] = deployed

    async def withdraw(self, deployed: Deployed) -> None:
        await asyncio.sleep(0)
        if self.listed.get(deployed.config.name) == deployed:
            del self.listed[deployed.config.name]

    async def end(self, deployed: Deployed) -> None:
        self.unowned = [one for one in self.unowned if one != deployed]
        if deployed.address in self.running:
            await self.running.pop(deployed.address).close()

    async def orphans(self) -> Sequence[Deployed]:
        return self.unowned

    async def settled(self) -> bool:
        return self.all_new

    async def changed(self, model: str) -> None:
        """No server of its own is deployed anew."""

    async def failed(self, model: str, reason: str) -> None:
        self.reasons[model] = reason

    async def failures(self) -> Mapping[str, str]:
        return {model: reason for model, reason in self.reasons.items() if reason}

    def host(self, deployed: Deployed) -> ModelHost:
        return self.running[deployed.address]

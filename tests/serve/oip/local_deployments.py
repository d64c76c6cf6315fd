"""`Deployments` in one process: what a cluster is to all of its ingress replicas."""

from collections.abc import Mapping

from serve.oip.added_models import Deployed
from serve.oip.hosted import ModelHost, OwnOverride
from serve.oip.model_config import ModelConfig


class LocalDeployments:
    def __init__(self, url: str) -> None:
        self._url = url
        self._started = 0
        self.listed: dict[str, Deployed] = {}
        self.running: dict[str, ModelHost] = {}  # by address

    async def published(self) -> Mapping[str, Deployed]:
        return dict(self.listed)

    async def start(self, config: ModelConfig, override: str) -> Deployed:
        self._started += 1
        deployed = Deployed(config=config, address=f"{config.name}-{self._started}")
        kept = OwnOverride()
        kept.write(override)
        self.running[deployed.address] = ModelHost(self._url, config.name, kept)
        await self.running[deployed.address].start()
        return deployed

    async def publish(self, deployed: Deployed) -> bool:
        return self.listed.setdefault(deployed.config.name, deployed) is deployed

    async def withdraw(self, deployed: Deployed) -> None:
        del self.listed[deployed.config.name]

    async def end(self, deployed: Deployed) -> None:
        await self.running.pop(deployed.address).close()

    def host(self, deployed: Deployed) -> ModelHost:
        return self.running[deployed.address]

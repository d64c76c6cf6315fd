"""Models loaded, changed or unloaded after the start as the cluster has them: what runs, and the list that counts."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from interest.errors import InvalidConfig
from serve.oip.entries import Host
from serve.oip.model_config import ModelConfig, Part


class Deployed(Part):
    """A model of a user's own that runs; `address` is where, in the words of the `Deployments` that started it.

    An ensemble runs nowhere: every ingress replica has its steps done by their models. It may stand in for one that the
    server was started with: `instead_of` is the config of that. `given`: its own is no file's. `loaded`: False for one
    that is known and not served.
    """

    config: ModelConfig
    address: str = ""
    instead_of: ModelConfig | None = None
    given: bool = False
    loaded: bool = True

    @property
    def is_of_start(self) -> bool:
        """Whether it says what the server was started with."""
        return self.loaded and self.config == self.instead_of


class Deployments(Protocol):
    """What starts and ends replicas, and the list of the models that all ingress replicas serve.

    Whatever runs is on the list or has an owner: the ingress replica that started it, or took it from the list.
    """

    async def published(self) -> Mapping[str, Deployed]:
        """By name, as it is at this moment. Raises `NotReady` when the list cannot be read."""
        ...

    async def claim(self, model: str) -> bool:
        """Take the turn to change a model; False as long as another ingress replica, one that lives, has it."""
        ...

    async def release(self, model: str) -> None:
        """Give the turn back. Of what was not claimed here it does nothing."""

    def new(self, config: ModelConfig) -> Deployed:
        """At an address of its own, where nothing runs yet."""
        ...

    async def start(self, deployed: Deployed, override: str) -> None:
        """Returns when all of its replicas run. Raises `InvalidConfig` when they do not: `end` those that do."""

    async def publish(self, deployed: Deployed) -> bool:
        """Put it on the list; False when another of its name is there."""
        ...

    async def replace(self, deployed: Deployed) -> None:
        """Put it on the list, in the place of the one of its name if there is one."""

    async def withdraw(self, deployed: Deployed) -> None:
        """Take it from the list. Of what is not there it does nothing."""

    async def end(self, deployed: Deployed) -> None:
        """Returns when its replicas have ended. Of what has ended it does nothing."""

    async def orphans(self) -> Sequence[Deployed]:
        """What runs, is not on the list and has an owner that does not live any more: for others to end."""
        ...

    async def settled(self) -> bool:
        """Whether every ingress replica is of the newest deployment of the server."""
        ...

    async def changed(self, model: str) -> None:
        """One that is on the list has been loaded again: what holds for it now, a server deployed anew takes along."""

    async def failed(self, model: str, reason: str) -> None:
        """Why its last load was refused, for the index of every ingress replica; "" once it has been loaded."""

    async def failures(self) -> Mapping[str, str]:
        """The reasons by name of model."""
        ...

    def host(self, deployed: Deployed) -> Host:
        """All of its replicas as one."""
        ...


class NoDeployments:
    """Of a server that starts none, as in a test of one process."""

    async def published(self) -> Mapping[str, Deployed]:
        return {}

    async def claim(self, model: str) -> bool:
        return True

    async def release(self, model: str) -> None:
        """Nobody else could have it."""

    def new(self, config: ModelConfig) -> Deployed:
        return Deployed(config=config)

    async def start(self, deployed: Deployed, override: str) -> None:
        raise InvalidConfig(f"failed to load '{deployed.config.name}': this server starts no deployments")

    async def publish(self, deployed: Deployed) -> bool:
        raise InvalidConfig(f"failed to load '{deployed.config.name}': this server has no list of models")

    async def replace(self, deployed: Deployed) -> None:
        raise InvalidConfig(f"'{deployed.config.name}': this server has no list of models")

    async def withdraw(self, deployed: Deployed) -> None:
        """Nothing is on the list."""

    async def end(self, deployed: Deployed) -> None:
        """Nothing runs."""

    async def orphans(self) -> Sequence[Deployed]:
        return ()

    async def settled(self) -> bool:
        return True

    async def changed(self, model: str) -> None:
        """Nothing is on the list."""

    async def failed(self, model: str, reason: str) -> None:
        """Its caller has heard it."""

    async def failures(self) -> Mapping[str, str]:
        return {}

    def host(self, deployed: Deployed) -> Host:
        raise InvalidConfig(f"'{deployed.config.name}': this server starts no deployments")

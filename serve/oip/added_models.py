"""Models whose folders came into the repository after the start: deployed by `load`, known to every ingress replica."""

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import Collection, Coroutine, Mapping
from typing import Any, Protocol
from weakref import WeakValueDictionary

from interest.errors import AttuneError, InvalidConfig
from serve.oip.entries import FOLLOW_S, Host, UserEntry, unknown
from serve.oip.model_config import ModelConfig, Part
from serve.oip.model_folders import new_model, unserved_models

CLOSING_S = 10.0  # for what is under way when an ingress replica ends

log = logging.getLogger("attune.models")


class Deployed(Part):
    """A model of a user's own that runs; `address` is where, in the words of the `Deployments` that started it."""

    config: ModelConfig
    address: str


class Deployments(Protocol):
    """What starts and ends replicas, and the list of the models that all ingress replicas serve."""

    async def published(self) -> Mapping[str, Deployed]:
        """By name, as it is at this moment. Raises `NotReady` when the list cannot be read."""
        ...

    async def start(self, config: ModelConfig, override: str) -> Deployed:
        """Returns when all of its replicas run. Raises `InvalidConfig` when they do not, and leaves none then."""
        ...

    async def publish(self, deployed: Deployed) -> bool:
        """Put it on the list; False when one of its name is there."""
        ...

    async def withdraw(self, deployed: Deployed) -> None:
        """Take it from the list."""

    async def end(self, deployed: Deployed) -> None:
        """End its replicas, once they have answered what they work on."""

    def host(self, deployed: Deployed) -> Host:
        """All of its replicas as one."""
        ...


class NoDeployments:
    """Of a server that starts none, as in a test of one process."""

    async def published(self) -> Mapping[str, Deployed]:
        return {}

    async def start(self, config: ModelConfig, override: str) -> Deployed:
        raise InvalidConfig(f"failed to load '{config.name}': this server starts no deployments")

    async def publish(self, deployed: Deployed) -> bool:
        return False

    async def withdraw(self, deployed: Deployed) -> None:
        """Nothing is on the list."""

    async def end(self, deployed: Deployed) -> None:
        """Nothing runs."""

    def host(self, deployed: Deployed) -> Host:
        raise InvalidConfig(f"'{deployed.config.name}': this server starts no deployments")


class AddedModels:
    """One ingress replica's view of them; the list that counts is that of `deployments`."""

    def __init__(self, url: str, taken: Collection[str], deployments: Deployments) -> None:
        """`taken`: names of the models that the server was started with."""
        self.entries: dict[str, UserEntry] = {}
        self._url = url
        self._taken = taken
        self._deployments = deployments
        self._deployed: dict[str, Deployed] = {}
        self._changing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # those that somebody holds
        self._asking = asyncio.Lock()
        self._asked_at = -math.inf  # time.monotonic() of the question that was answered last
        self._follower: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Follow what other ingress replicas load and unload."""
        loop = asyncio.get_running_loop()
        self._follower = loop.create_task(self._follow(), context=contextvars.Context())

    async def refresh(self) -> None:
        """Know what is served at this moment. Callers that come while one is asking wait for its answer."""
        asked = time.monotonic()
        async with self._asking:
            if self._asked_at < asked:
                asked = time.monotonic()
                await self._take_over(await self._deployments.published())
                self._asked_at = asked

    async def load(self, name: str, override: str) -> None:
        """Serve what the model's folder says now, on all ingress replicas. It goes on when its caller leaves.

        Raises `UnknownModel` without such a folder, `InvalidConfig` for a model that does not load: of one that was
        not served before, nothing is left then.
        """
        await asyncio.shield(self._spawn(self._load(name, override)))

    async def unload(self, name: str) -> None:
        """Serve it no more and end its replicas. It goes on when its caller leaves. Raises `UnknownModel`."""
        await asyncio.shield(self._spawn(self._unload(name)))

    async def index(self) -> list[dict[str, str]]:
        """The models of the repository that are not served, with the reason; as the repository index has them."""
        served = {*self._taken, *self.entries}
        return [
            {"name": name, "version": version, "state": "UNAVAILABLE", "reason": reason}
            for name, versions, reason in await asyncio.to_thread(unserved_models, self._url, served)
            for version in versions or [""]
        ]

    async def close(self) -> None:
        """Loads and unloads under way come to their end, or are given up: an ingress has more to do before it ends.

        Replicas of a load that was given up are nobody's until the server is shut down.
        """
        if self._follower is not None:
            self._follower.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING_S)
        await asyncio.gather(*(entry.close() for entry in self.entries.values()))

    async def _load(self, name: str, override: str) -> None:
        async with self._changing.setdefault(name, asyncio.Lock()):
            await self.refresh()
            if name in self.entries:
                await self.entries[name].load(override)
                return
            config = await asyncio.to_thread(new_model, self._url, name, override)
            deployed = await self._deployments.start(config, override)
            try:
                await _load_everywhere(name, self._deployments.host(deployed), override)
                if not await self._deployments.publish(deployed):
                    raise InvalidConfig(f"failed to load '{name}': it was loaded by another call at the same time")
            except Exception:
                await self._deployments.end(deployed)
                raise
            await self.refresh()

    async def _unload(self, name: str) -> None:
        """Its replicas end when every ingress replica has noticed; until then they say that they serve nothing."""
        async with self._changing.setdefault(name, asyncio.Lock()):
            await self.refresh()
            if name not in self.entries:
                raise unknown(name)
            deployed, entry = self._deployed[name], self.entries[name]
            await self._deployments.withdraw(deployed)
            try:
                await entry.unload()
                await self.refresh()
            finally:
                await asyncio.sleep(2 * FOLLOW_S)
                await self._deployments.end(deployed)

    async def _take_over(self, published: Mapping[str, Deployed]) -> None:
        for name in [name for name, deployed in self._deployed.items() if published.get(name) != deployed]:
            del self._deployed[name]
            self._spawn(self.entries.pop(name).close(unknown(name)))
        for name, deployed in published.items():
            if name in self._taken:  # the server was deployed anew, with the folder that had come
                await self._deployments.withdraw(deployed)
                self._spawn(self._deployments.end(deployed))
            elif name not in self._deployed:
                self._deployed[name] = deployed
                config = deployed.config
                self.entries[name] = UserEntry(config, self._deployments.host(deployed), config.instances)
                self.entries[name].follow()

    async def _follow(self) -> None:
        while True:
            try:
                await self.refresh()
            except AttuneError as error:
                log.warning("models that came after the start: %s", error.message)
            await asyncio.sleep(FOLLOW_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task in a context of its own: Ray ends calls with the request in whose context they were made."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _load_everywhere(name: str, host: Host, override: str) -> None:
    """Replicas have loaded the model as they started, or know why not. Raises `InvalidConfig` with that reason."""
    state = await host.state()
    if not state.ready:
        reasons = "; ".join(f"version {one.version}: {one.reason}" for one in state.versions)
        raise InvalidConfig(f"failed to load '{name}': {reasons}")
    await host.prepare(override)  # of a replica that has loaded it nothing is asked any more
    await host.commit()

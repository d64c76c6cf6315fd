"""What the protocol's server knows of each model: its config, its versions, and the queue before each of them."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable
from typing import Protocol

from interest.batch import Tensors
from interest.errors import AttuneError, InvalidConfig
from serve.oip.batching import DynamicBatcher
from serve.oip.ensemble import EnsembleModel, Infer
from serve.oip.errors import InvalidInput, UnknownModel
from serve.oip.hosted import UNLOADED, HostState, VersionState
from serve.oip.message import Answer
from serve.oip.model_config import ModelConfig
from serve.oip.question import RECENT_S, Question
from serve.oip.stage_models import NO_LENGTHS, Lengths, ServedModel
from serve.oip.statistics import ModelStatistics

FOLLOW_S = 1.0  # how often an ingress asks what a model of a user's serves, for changes of its config
ENSEMBLE_VERSION = "1"

log = logging.getLogger("attune.models")


class Entry(Protocol):
    """One name of the repository."""

    lengths: Lengths
    config: ModelConfig

    @property
    def versions(self) -> tuple[VersionState, ...]:
        """Ascending; the last that is ready answers requests that name none."""
        ...

    def batcher(self, version: str) -> DynamicBatcher:
        """The queue before a version, "" for the newest. Raises `UnknownModel` for one that is not served."""
        ...

    async def start(self) -> None:
        """Returns when it is known what is served."""

    async def refresh(self) -> None:
        """Know what was served a moment ago: another ingress may have loaded or unloaded it."""

    async def load(self, override: str = "") -> None:
        """Serve what the model's folder says now. Raises `InvalidConfig`; what was served before is served then.

        `override`: a config as JSON in place of the file's, until the next load.
        """

    async def unload(self) -> None:
        """Serve it no more. Raises `InvalidInput` for a model that the server needs."""

    async def drain(self) -> None:
        """Returns once all who wait have been answered. Nobody new may come."""

    async def close(self, gone: AttuneError | None = None) -> None:
        """Wait for what is under way. What still waits hears `gone`; without it, it is cancelled."""


class FixedEntry:
    """A model of one version that needs no loading: a stage, the pipeline, an ensemble."""

    def __init__(self, model: ServedModel, version: str, in_flight: int) -> None:
        self.config = model.config
        self.lengths = model.lengths
        self.model = model
        self._version = version

        async def execute(tensors: Tensors) -> Answer:
            return Answer(version, await model.infer(tensors))

        statistics = ModelStatistics(self.config.name, version)
        size, batching = self.config.max_batch_size, self.config.dynamic_batching
        self._batcher = DynamicBatcher(execute, size, batching, statistics, in_flight)

    @property
    def versions(self) -> tuple[VersionState, ...]:
        return (VersionState(self._version, "READY"),)

    def batcher(self, version: str) -> DynamicBatcher:
        if version not in ("", self._version):
            raise unknown(self.config.name, version)
        return self._batcher

    async def start(self) -> None:
        """It is known from the start."""

    async def refresh(self) -> None:
        """It does not change."""

    async def load(self, override: str = "") -> None:
        """It is loaded: nothing is left to do. Raises `InvalidConfig` for another config: it has no file either."""
        if override:
            raise InvalidConfig(f"failed to load '{self.config.name}': parameter 'config': its config is the server's")

    async def unload(self) -> None:
        """Raises `InvalidInput`: without any of its models the pipeline could not answer."""
        raise InvalidInput(f"failed to unload '{self.config.name}': the server needs it as long as it runs")

    async def drain(self) -> None:
        await self._batcher.drain()

    async def close(self, gone: AttuneError | None = None) -> None:
        await self._batcher.close(gone)


class UnloadedEntry(FixedEntry):
    """A model of that kind that is known and not served."""

    @property
    def versions(self) -> tuple[VersionState, ...]:
        return (VersionState(self._version, "UNAVAILABLE", UNLOADED),)

    def batcher(self, version: str) -> DynamicBatcher:
        raise unknown(self.config.name, version)


class Host(Protocol):
    """All replicas of a user's model; `serve.oip.hosted.ModelHost` is one of them, and enough for a test."""

    async def infer(self, version: str, tensors: Tensors) -> Answer: ...

    async def state(self) -> HostState: ...

    async def prepare(self, override: str = "") -> None: ...

    async def commit(self) -> None: ...

    async def discard(self) -> None: ...

    async def unload(self) -> None: ...

    async def idle_s(self) -> float:
        """Seconds since the last request ended at any replica; 0 while one is under way."""
        ...


class UserEntry:
    """A model of a user's own. Which version answers a request that names none, its replica decides."""

    lengths = NO_LENGTHS

    def __init__(self, config: ModelConfig, host: Host, instances: int) -> None:
        self.config = config
        self._host = host
        self._instances = instances
        self._versions: tuple[VersionState, ...] = ()
        self._batchers: dict[str, DynamicBatcher] = {}
        self._follower: asyncio.Task[None] | None = None
        self._known = asyncio.Event()  # set once a replica has answered
        self._changing = asyncio.Lock()
        self._state = Question(self._ask)

    async def start(self) -> None:
        """Know what is served, and go on asking."""
        self.follow()
        await self._known.wait()

    def follow(self) -> None:
        """Ask what is served from now on."""
        loop = asyncio.get_running_loop()
        self._follower = loop.create_task(self._follow(), context=contextvars.Context())

    @property
    def versions(self) -> tuple[VersionState, ...]:
        return self._versions

    def batcher(self, version: str) -> DynamicBatcher:
        ready = [one.version for one in self._versions if one.state == "READY"]
        if not ready or version not in ("", *ready):
            raise unknown(self.config.name, version)
        if version not in self._batchers:
            self._batchers[version] = self._new_batcher(version, ready[-1])
        return self._batchers[version]

    async def refresh(self) -> None:
        await self._state.recent()

    async def load(self, override: str = "") -> None:
        """On all replicas or on none; what was served before goes on until the new versions are warm."""
        async with self._changing:
            try:
                await self._host.prepare(override)
            except AttuneError:
                await self._host.discard()
                await self._refresh()
                raise
            await self._host.commit()
            await self._refresh()
        await asyncio.sleep(RECENT_S)  # no ingress replica knows better then

    async def unload(self) -> None:
        async with self._changing:
            await self._host.unload()
            await self._refresh()
        await asyncio.sleep(RECENT_S)

    async def drain(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
        await asyncio.gather(*(batcher.drain() for batcher in self._batchers.values()))

    async def close(self, gone: AttuneError | None = None) -> None:
        if self._follower is not None:
            self._follower.cancel()
        await asyncio.gather(*(batcher.close(gone) for batcher in self._batchers.values()))

    def _new_batcher(self, version: str, counted: str) -> DynamicBatcher:
        def execute(tensors: Tensors) -> Awaitable[Answer]:
            return self._host.infer(version, tensors)

        statistics = ModelStatistics(self.config.name, counted)
        size, batching = self.config.max_batch_size, self.config.dynamic_batching
        slots = self._instances + 1  # the next batch is there when one ends
        return DynamicBatcher(execute, size, batching, statistics, slots, self._instances)

    async def _ask(self) -> None:
        async with self._changing:
            await self._refresh()

    async def _refresh(self) -> None:
        state = await self._host.state()
        self._versions = state.versions
        if state.config != self.config:
            self.config = state.config
            self._batchers = {}  # those before answer what waits in them
        self._known.set()

    async def _follow(self) -> None:
        while True:
            try:
                await self._state.now()
            except AttuneError as error:
                log.warning("%s: %s", self.config.name, error.message)
            await asyncio.sleep(FOLLOW_S)


def ensemble_entry(config: ModelConfig, infer: Infer, in_flight: int) -> FixedEntry:
    """`infer`: of the server that holds the models of the steps. `in_flight`: requests at a time."""
    return FixedEntry(EnsembleModel(config, infer), ENSEMBLE_VERSION, in_flight)


def unloaded_ensemble(config: ModelConfig, infer: Infer, in_flight: int) -> UnloadedEntry:
    """One that the repository has and nobody is served."""
    return UnloadedEntry(EnsembleModel(config, infer), ENSEMBLE_VERSION, in_flight)


def unknown(model: str, version: str = "") -> UnknownModel:
    named = f" version {version}" if version else ""
    return UnknownModel(f"Request for unknown model: '{model}'{named} is not found")

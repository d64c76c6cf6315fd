"""A model of a user's own in one replica: versions loaded beside those that are served, then swapped in all at once."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from interest.batch import Tensors
from interest.errors import AttuneError, InvalidConfig
from serve.oip.checks import checked_outputs
from serve.oip.errors import ModelFailed, UnknownModel
from serve.oip.message import Answer
from serve.oip.model_config import ModelConfig
from serve.oip.model_folders import ModelFolder, wanted_versions
from serve.oip.user_models import Loads, Unloads, called, make_user_model, warmup_tensors
from serve.oip.wanted import Kept, OwnKept, Wanted, wanted_of

UNLOADED = "unloaded"

T = TypeVar("T")

log = logging.getLogger("attune.models")


@dataclass(frozen=True, slots=True)
class VersionState:
    """READY or UNAVAILABLE; `reason` says why one is not ready."""

    version: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HostState:
    """What a replica serves: its config, and the versions in the folder and in memory, ascending."""

    config: ModelConfig
    versions: tuple[VersionState, ...]

    @property
    def ready(self) -> list[str]:
        return [one.version for one in self.versions if one.state == "READY"]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What `commit` will serve."""

    config: ModelConfig
    override: str
    versions: "dict[str, _Version]"


class ModelHost:
    """Loading is a thread of its own that gives way; `infer` runs in another, one batch at a time.

    A swap has two halves, so that all replicas of a model swap or none: `prepare` loads what config and folder say
    now beside what is served, `commit` serves it and unloads the rest, `discard` forgets it.
    """

    def __init__(self, url: str, name: str, kept: Kept | None = None) -> None:
        self._folder = ModelFolder(url, name)
        self._name = name
        self._kept = kept or OwnKept()
        self._config = self._first_config()
        self._serving: dict[str, _Version] = {}
        self._prepared: _Prepared | None = None
        self._failed: dict[str, str] = {}
        self._reason = UNLOADED  # why a version that did not fail is not served
        self._swapping = asyncio.Lock()
        self._under_way = 0
        self._used_at = time.monotonic()  # when the last request ended
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._loading = ThreadPoolExecutor(1, thread_name_prefix=f"load-{name}", initializer=_step_back)

    def _first_config(self) -> ModelConfig:
        """That of the override, as long as it still fits the file. Raises `InvalidConfig` for a file that is none."""
        try:
            return self._folder.config(wanted_of(self._kept).override)
        except InvalidConfig as error:
            config = self._folder.config("")
            log.warning("%s: %s", self._name, error.message)
            return config

    async def state(self) -> HostState:
        known = {*await self._aside(self._folder.versions), *self._serving, *self._failed}
        states = [
            VersionState(version, "READY")
            if version in self._serving
            else VersionState(version, "UNAVAILABLE", self._failed.get(version, self._reason))
            for version in sorted(known, key=int)
        ]
        return HostState(self._config, tuple(states))

    async def start(self) -> None:
        """Serve what is wanted; a model that does not load is unavailable, and its state says why."""
        done = None
        while (wanted := await self._aside(wanted_of, self._kept)) != done:  # it may change meanwhile
            await self._begin(wanted)
            done = wanted

    async def _begin(self, wanted: Wanted) -> None:
        if not wanted.loaded:
            async with self._swapping:
                await self._serve_nothing()
            return
        try:
            await self.prepare(wanted.override)
        except InvalidConfig as error:
            log.warning("%s is not served: %s", self._name, error.message)
            self._reason = error.message
        else:
            async with self._swapping:
                await self._swap()

    async def prepare(self, override: str = "") -> None:
        """Load and warm what is not served already. Raises `InvalidConfig` when one does not load; nothing changes.

        `override`: a config as JSON in place of the file's.
        """
        async with self._swapping:
            await self._discard()
            config = await self._aside(self._folder.config, override)
            if config.is_ensemble:
                raise InvalidConfig(
                    f"failed to load '{self._name}': a model that is served does not become an ensemble"
                )
            found = await self._aside(self._folder.versions)
            self._failed = {version: reason for version, reason in self._failed.items() if version in found}
            wanted = wanted_versions(config, found)
            loaded: dict[str, _Version] = {}
            self._prepared = _Prepared(config, override, loaded)
            for version in wanted:
                mark = await self._aside(self._folder.mark, version)
                old = self._serving.get(version)
                same = old is not None and (old.mark, old.config) == (mark, config)
                loaded[version] = old if same and old is not None else await self._loaded(config, version, mark)

    async def commit(self) -> None:
        """Serve what was prepared, by one assignment; requests to what was served before are answered first."""
        async with self._swapping:  # what another load prepares meanwhile is neither kept nor served
            if self._prepared is not None:
                await self._keep(Wanted(override=self._prepared.override))
                await self._swap()

    async def discard(self) -> None:
        """Forget what was prepared."""
        async with self._swapping:
            await self._discard()

    async def unload(self) -> None:
        """Serve nothing any more, nor after a new start; requests under way are answered."""
        async with self._swapping:
            before = await self._aside(wanted_of, self._kept)
            await self._keep(before.model_copy(update={"loaded": False}))
            await self._serve_nothing()

    async def infer(self, version: str, tensors: Tensors) -> Answer:
        """`version` "": the newest. Raises `UnknownModel` when it is not served, `ModelFailed` when it raises."""
        chosen = version or max(self._serving, key=int, default="")
        if chosen not in self._serving:
            named = f" version {version}" if version else ""
            raise UnknownModel(f"Request for unknown model: '{self._name}'{named} is not found")
        self._under_way += 1
        try:
            return Answer(chosen, await self._serving[chosen].infer(tensors, self._pool))
        finally:
            self._under_way -= 1
            self._used_at = time.monotonic()

    async def idle_s(self) -> float:
        """Seconds since the last request ended; 0 while one is under way."""
        return 0.0 if self._under_way else time.monotonic() - self._used_at

    async def close(self) -> None:
        async with self._swapping:
            await self._discard()
            await self._serve_nothing()
        for pool in (self._pool, self._loading):
            pool.shutdown(wait=True)

    async def _keep(self, wanted: Wanted) -> None:
        await self._aside(self._kept.write, wanted.model_dump_json())

    async def _swap(self) -> None:
        if self._prepared is None:
            return
        before, prepared = self._serving, self._prepared
        self._config, self._serving = prepared.config, prepared.versions
        self._prepared, self._reason = None, UNLOADED
        await self._retire(before, self._serving)

    async def _serve_nothing(self) -> None:
        before, self._serving, self._reason = self._serving, {}, UNLOADED
        await self._retire(before, {})

    async def _loaded(self, config: ModelConfig, version: str, mark: str) -> "_Version":
        folder = await self._aside(self._folder.fetch, version)
        try:
            one = await self._aside(_Version, folder, config, mark)
            await one.start(self._loading)
        except Exception as error:  # whatever a user's code raises while it loads
            await self._aside(self._folder.drop, folder)
            self._failed[version] = f"{type(error).__name__}: {error}"
            log.exception("%s version %s does not load", self._name, version)
            await self._discard()
            raise InvalidConfig(f"failed to load '{self._name}' version {version}: {error}") from error
        self._failed.pop(version, None)
        return one

    async def _discard(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await self._retire(prepared.versions, self._serving)

    async def _retire(self, before: "dict[str, _Version]", after: "dict[str, _Version]") -> None:
        for version, old in before.items():
            if after.get(version) is not old:
                await old.stop(self._loading)
                await self._aside(self._folder.drop, old.folder)

    async def _aside(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._loading, work, *arguments)


class _Version:
    """One loaded version and the requests that it answers."""

    def __init__(self, folder: Path, config: ModelConfig, mark: str) -> None:
        self.folder = folder
        self.config = config
        self.mark = mark  # see `ModelFolder.mark`
        self._model = make_user_model(folder, config)
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, pool: ThreadPoolExecutor) -> None:
        """Load and warm up."""
        if isinstance(self._model, Loads):
            parameters = {name: value.string_value for name, value in self.config.parameters.items()}
            await called(self._model.load, pool, self.folder, parameters)
        for warmup in self.config.model_warmup:
            for _ in range(warmup.count):
                await self.infer(warmup_tensors(warmup, self.config), pool)

    async def infer(self, tensors: Tensors, pool: ThreadPoolExecutor) -> Tensors:
        rows = len(next(iter(tensors.values()))) if self.config.max_batch_size and tensors else 1
        self._under_way += 1
        self._idle.clear()
        try:
            outputs = await called(self._model.infer, pool, tensors)
        except AttuneError:
            raise
        except Exception as error:  # whatever a user's code raises
            log.exception("%s failed", self.config.name)
            raise ModelFailed(f"{self.config.name}: {type(error).__name__}: {error}") from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        return checked_outputs(outputs, self.config, rows)

    async def stop(self, pool: ThreadPoolExecutor) -> None:
        """Wait for the requests under way, then unload."""
        await self._idle.wait()
        if isinstance(self._model, Unloads):
            await called(self._model.unload, pool)


def _step_back() -> None:
    """The loading thread alone gives way to those that answer requests."""
    os.setpriority(os.PRIO_PROCESS, 0, 10)

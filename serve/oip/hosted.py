"""A model of a user's own: versions of a Python class or an ONNX file, loaded beside each other and swapped by name."""

import asyncio
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from interest.batch import Tensors
from interest.errors import AttuneError, InvalidConfig
from serve.oip.checks import checked_outputs
from serve.oip.errors import ModelFailed, UnknownModel
from serve.oip.model_config import ModelConfig, read_model_config
from serve.oip.user_models import called, make_user_model, servable, warmup_tensors

_VERSION = re.compile(r"[1-9][0-9]*")

log = logging.getLogger("attune.models")


@dataclass(frozen=True, slots=True)
class VersionState:
    """READY, UNAVAILABLE or LOADING; `reason` says why one is not ready."""

    version: str
    state: str
    reason: str = ""


def versions_in(folder: Path) -> list[str]:
    """The version folders of a model, ascending."""
    found = [path.name for path in folder.iterdir() if path.is_dir() and _VERSION.fullmatch(path.name)]
    return sorted(found, key=int)


def read_user_models(repository: Path) -> dict[str, ModelConfig]:
    """Every folder of the repository with a config file, by name. Raises `InvalidConfig` naming what does not fit."""
    found: dict[str, ModelConfig] = {}
    for folder in sorted(path for path in repository.iterdir() if path.is_dir()) if repository.is_dir() else []:
        config = read_model_config(folder)
        if config is not None:
            found[folder.name] = servable(folder, config)
    return found


class ModelHost:
    """One replica's versions of one model. `infer` runs in a thread of its own, at most `instances` at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        config = read_model_config(folder)
        if config is None:
            raise InvalidConfig(f"{folder}: no config file")
        self._config = servable(folder, config)
        self._loaded: dict[str, _Version] = {}
        self._failed: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(_instances(self._config), thread_name_prefix=folder.name)
        self._loading = ThreadPoolExecutor(1, thread_name_prefix=f"load-{folder.name}", initializer=_step_back)

    @property
    def versions(self) -> list[str]:
        """The versions that are served, ascending; the last one answers requests that name none."""
        return sorted(self._loaded, key=int)

    def states(self) -> list[VersionState]:
        """Of the versions in the folder and of those that are served, ascending."""
        known = {*versions_in(self._folder), *self._loaded, *self._failed}
        return [
            VersionState(version, "READY")
            if version in self._loaded
            else VersionState(version, "UNAVAILABLE", self._failed.get(version, "unloaded"))
            for version in sorted(known, key=int)
        ]

    async def load(self, config: ModelConfig | None = None) -> None:
        """Serve what config and folder say now: versions are loaded and warmed beside the old ones, then swapped in.

        Raises `InvalidConfig` when one does not load; what was served before goes on being served then.
        """
        config = config or read_model_config(self._folder)
        if config is None:
            raise InvalidConfig(f"{self._folder}: no config file")
        config = servable(self._folder, config)
        wanted = config.version_policy.served(versions_in(self._folder))
        if not wanted:
            raise InvalidConfig(f"{config.name}: its version_policy leaves none of {versions_in(self._folder)}")
        kept = self._loaded if config == self._config else {}
        loaded = {version: kept.get(version) or await self._load_one(config, version) for version in wanted}
        before, self._loaded, self._config = self._loaded, loaded, config
        await self._retire([old for version, old in before.items() if loaded.get(version) is not old])

    async def unload(self) -> None:
        """Serve nothing any more; requests under way are answered."""
        before, self._loaded = self._loaded, {}
        await self._retire(list(before.values()))

    async def infer(self, version: str, tensors: Tensors) -> Tensors:
        """Raises `UnknownModel` for a version that is not served, `ModelFailed` when the model raises."""
        one = self._loaded.get(version or (self.versions or [""])[-1])
        if one is None:
            raise UnknownModel(f"Request for unknown model: '{self._config.name}' version {version} is not found")
        return await one.infer(tensors, self._pool)

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        self._loading.shutdown(wait=True)

    async def _load_one(self, config: ModelConfig, version: str) -> "_Version":
        try:
            loop = asyncio.get_running_loop()
            one = await loop.run_in_executor(self._loading, _Version, self._folder / version, config)
            await one.start(self._loading)
        except Exception as error:  # whatever a user's code raises while it loads
            self._failed[version] = f"{type(error).__name__}: {error}"
            log.exception("%s version %s does not load", config.name, version)
            raise InvalidConfig(f"failed to load '{config.name}' version {version}: {error}") from error
        self._failed.pop(version, None)
        return one

    async def _retire(self, versions: "list[_Version]") -> None:
        for one in versions:
            await one.stop(self._loading)


class _Version:
    """One loaded version and the requests that it answers."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        self._folder = folder
        self._config = config
        self._model = make_user_model(folder, config)
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, pool: ThreadPoolExecutor) -> None:
        """Load and warm up."""
        if hasattr(self._model, "load"):
            parameters = {name: value.string_value for name, value in self._config.parameters.items()}
            await called(self._model.load, pool, self._folder, parameters)
        for warmup in self._config.model_warmup:
            for _ in range(warmup.count):
                await self.infer(warmup_tensors(warmup, self._config), pool)

    async def infer(self, tensors: Tensors, pool: ThreadPoolExecutor) -> Tensors:
        rows = len(next(iter(tensors.values()))) if self._config.max_batch_size and tensors else 1
        self._under_way += 1
        self._idle.clear()
        try:
            outputs = await called(self._model.infer, pool, tensors)
        except AttuneError:
            raise
        except Exception as error:  # whatever a user's code raises
            log.exception("%s failed", self._config.name)
            raise ModelFailed(f"{self._config.name}: {type(error).__name__}: {error}") from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        return checked_outputs(outputs, self._config, rows)

    async def stop(self, pool: ThreadPoolExecutor) -> None:
        """Wait for the requests under way, then unload."""
        await self._idle.wait()
        if hasattr(self._model, "unload"):
            await called(self._model.unload, pool)


def _instances(config: ModelConfig) -> int:
    return sum(group.count for group in config.instance_group) or 1


def _step_back() -> None:
    """The loading thread alone gives way to those that answer requests."""
    os.setpriority(os.PRIO_PROCESS, 0, 10)

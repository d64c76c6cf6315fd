"""Adapters of the language model: found in the model repository, loaded while the engine serves, chosen by request.

An adapter `NAME` has versions in the repository under `adapter-NAME`. The config says whose texts are written with it
(`generation.adapters`); a name alone is its newest version, which is taken up as it appears. A version is loaded beside
what is served and swapped by one pointer: requests under way end with the version that they began with.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from interest.errors import InvalidRelease
from ranking.release import ModelRepository
from serve.generation.completion import Adapter
from serve.generation.prompt import GenerationTask
from serve.generation.raw import no_adapter
from serve.generation.release import DEMO_FOLDER
from serve.generation.settings import EngineConfig

KIND = "lora"  # of a version's manifest
TENANT_PREFIX = "tenant:"

log = logging.getLogger("attune.adapters")


class AdapterEngine(Protocol):
    """What loading needs of an engine."""

    async def load_adapter(self, adapter: Adapter) -> None: ...


class Adapters:
    """`wanted` maps a domain, or `tenant:` and the tenant's digest, to `NAME` or `NAME/VERSION`; `model` is the
    engine's.
    """

    def __init__(self, wanted: Mapping[str, str], repository: ModelRepository, model: str) -> None:
        self._wanted = dict(wanted)
        self._repository = repository
        self._model = model
        self._base = ""
        self._live: dict[str, Adapter] = {}  # by what the config calls it
        self._refused: set[str] = set()
        self._numbers = 0

    async def load(self, engine: AdapterEngine) -> None:
        """What is there at the start. Raises `InvalidRelease` for a fixed version that cannot be served."""
        if not self._wanted:
            return
        self._base = await asyncio.to_thread(base_identity, self._model)
        for wanted in sorted(set(self._wanted.values())):
            name, _, version = wanted.partition("/")
            if version:
                await self._take(engine, wanted, name, version)
        await self.follow(engine)

    async def follow(self, engine: AdapterEngine) -> None:
        """Take up versions that are new; one that cannot be served is refused once, and the old one goes on."""
        for wanted in sorted(set(self._wanted.values())):
            name, version = await self._newest(wanted)
            known = self._live.get(wanted)
            full = f"{name}/{version}"
            if not version or full in self._refused or (known is not None and known.name == full):
                continue
            try:
                await self._take(engine, wanted, name, version)
            except InvalidRelease as error:
                self._refused.add(full)
                log.warning("adapter %s is not served: %s", full, error.message)

    def of_task(self, task: GenerationTask, tenant: str) -> Adapter | None:
        """The tenant's own adapter, or that of the item's domain; None for the model as it is."""
        wanted = self._wanted.get(TENANT_PREFIX + tenant) or self._wanted.get(task.item.domain)
        return self._live.get(wanted) if wanted else None

    def named(self, name: str, tenant: str) -> Adapter:
        """The adapter that the config calls so. Raises `NotFound`, also for one of another tenant."""
        live = self._live.get(name) if name in names_for(self._wanted, tenant) else None
        return no_adapter(name, tenant) if live is None else live

    async def _newest(self, wanted: str) -> tuple[str, str]:
        """(name, version), "" for a name that has no version yet."""
        name, _, version = wanted.partition("/")
        if version:
            return name, version
        versions = await asyncio.to_thread(self._repository.versions, repository_name(name))
        return name, versions[-1] if versions else ""

    async def _take(self, engine: AdapterEngine, wanted: str, name: str, version: str) -> None:
        found = await asyncio.to_thread(self._repository.open_version, repository_name(name), version)
        details = found.manifest.get("details") or {}
        if details.get("kind") != KIND:
            raise InvalidRelease(f"{found.folder}: kind expected {KIND!r}, found {details.get('kind')!r}")
        if details.get("base") != self._base:
            raise InvalidRelease(
                f"{found.folder}: fitted to model {details.get('base')!r}, this server has {self._base!r}"
            )
        self._numbers += 1
        adapter = Adapter(f"{name}/{version}", self._numbers, str(found.folder))
        await engine.load_adapter(adapter)
        self._live[wanted] = adapter
        log.info("adapter %s is served", adapter.name)


def names_for(wanted: Mapping[str, str], tenant: str) -> list[str]:
    """What a caller may name: the adapters of domains, and its own."""
    own = TENANT_PREFIX + tenant
    found = (name for key, name in wanted.items() if not key.startswith(TENANT_PREFIX) or (tenant and key == own))
    return sorted(set(found))


def with_adapters(config: EngineConfig, wanted: Mapping[str, str]) -> EngineConfig:
    """The engine's settings with room for each adapter and, while versions are swapped, one more; unchanged without.

    An engine that can take adapters is slower without any too (benchmarks/bench_lora.py).
    """
    names = set(wanted.values())
    return config.model_copy(update={"max_loras": len(names) + 1}) if names and not config.max_loras else config


def repository_name(name: str) -> str:
    """Where the repository keeps the adapter's versions."""
    return f"adapter-{name}"


def base_identity(model: str) -> str:
    """What an adapter must have been fitted to: a digest over the weights of a folder, or the id of a hub's model."""
    folder = DEMO_FOLDER if model == "demo" else Path(model)
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

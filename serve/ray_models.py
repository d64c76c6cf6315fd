"""Deployments of models that are loaded while the server runs: each a Ray Serve application without a route."""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import ray.serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from interest.errors import InvalidConfig, NotReady
from serve.app import APPLICATION, model_deployment
from serve.config import ServerConfig
from serve.deployments import MODEL_PREFIX
from serve.oip.added_models import Deployed
from serve.oip.model_config import ModelConfig
from serve.ray_calls import HostHandle, by_value
from serve.ray_texts import ClusterTexts

START_TIMEOUT_S = 570.0  # of all replicas, with the loading of the model; `attune models load` waits a little longer
POLL_S = 0.5

T = TypeVar("T")

log = logging.getLogger("attune.models")


class ClusterModels:
    """`serve.oip.added_models.Deployments` on the cluster; an address is the name of an application.

    Each load has an application of its own, so that no handle can mean another than the one it was made for.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._published = ClusterTexts("models")
        self._overrides = ClusterTexts("override")
        self._deploying = threading.Lock()  # a DeploymentConfig of Serve's cannot be made in two threads at once

    async def published(self) -> Mapping[str, Deployed]:
        found = await _aside(self._published.all)
        return {name: Deployed.model_validate_json(text) for name, text in found.items()}

    async def start(self, config: ModelConfig, override: str) -> Deployed:
        deployed = Deployed(config=config, address=f"{APPLICATION}-{config.name}-{uuid.uuid4().hex[:8]}")
        try:
            await _aside(self._deploy, deployed, override)
            await _until_running(deployed)
        except Exception:
            await self.end(deployed)
            raise
        return deployed

    async def publish(self, deployed: Deployed) -> bool:
        return await _aside(self._published.add, deployed.config.name, deployed.model_dump_json())

    async def withdraw(self, deployed: Deployed) -> None:
        await _aside(self._published.remove, deployed.config.name)

    async def end(self, deployed: Deployed) -> None:
        await _aside(ray.serve.delete, deployed.address)
        await _aside(self._overrides.remove, _place(deployed))

    def host(self, deployed: Deployed) -> HostHandle:
        name = f"{MODEL_PREFIX}{deployed.config.name}"
        return HostHandle(name, by_value(DeploymentHandle(name, deployed.address)))

    def _deploy(self, deployed: Deployed, override: str) -> None:
        self._overrides.write(_place(deployed), override)
        with self._deploying:
            application = model_deployment(self._config, deployed.config)
            target = ray.serve.RunTarget(application, name=deployed.address, route_prefix=None)
            ray.serve.run_many([target], wait_for_applications_running=False)


async def _until_running(deployed: Deployed) -> None:
    """Asks again and again: a thread that waited would be one less for everything else of this ingress."""
    give_up = time.monotonic() + START_TIMEOUT_S
    while not await _aside(_runs, deployed):
        if time.monotonic() > give_up:
            state = await _aside(_state, deployed)
            raise InvalidConfig(f"{_failed(deployed)} not within {START_TIMEOUT_S:.0f} s: {state}")
        await asyncio.sleep(POLL_S)


def _place(deployed: Deployed) -> str:
    """Where its replicas look for the config that holds in place of the file's."""
    return f"{deployed.address}/{MODEL_PREFIX}{deployed.config.name}"


def _runs(deployed: Deployed) -> bool:
    """Raises `InvalidConfig` when its replicas cannot start."""
    found = ray.serve.status().applications.get(deployed.address)
    if found is not None and found.status == ApplicationStatus.DEPLOY_FAILED:
        raise InvalidConfig(f"{_failed(deployed)} its replicas do not start: {_state(deployed)}")
    return found is not None and found.status == ApplicationStatus.RUNNING


def _failed(deployed: Deployed) -> str:
    return f"failed to load '{deployed.config.name}':"


def _state(deployed: Deployed) -> str:
    """What Ray Serve says of it, on one line."""
    found = ray.serve.status().applications.get(deployed.address)
    told = [found.message, *(one.message for one in found.deployments.values())] if found else []
    return " ".join(" ".join(told).split()) or "no replica"


async def _aside(work: Callable[..., T], *arguments: object) -> T:
    """Run what blocks in a thread. Raises `NotReady` for Ray's own trouble."""
    with _own_errors():
        return await asyncio.to_thread(work, *arguments)


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except (RayError, RayServeException, OSError) as error:
        log.exception("the cluster does not answer")
        raise NotReady(f"the cluster does not answer: {type(error).__name__}") from error

"""Deployments of models that are loaded while the server runs: each a Ray Serve application without a route."""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import ray
import ray.serve
from ray.exceptions import RayError
from ray.serve._private.constants import SERVE_NAMESPACE
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from interest.errors import InvalidConfig, NotReady
from serve.config import ServerConfig
from serve.oip.deployed import Deployed
from serve.oip.model_config import ModelConfig, Part
from serve.oip.wanted import Wanted
from serve.ray_calls import HostHandle, by_value
from serve.ray_hosts import MODEL_PREFIX, model_deployment
from serve.ray_kept import KEPT, PUBLISHED, place_of
from serve.ray_options import APPLICATION
from serve.ray_texts import ClusterTexts

START_TIMEOUT_S = 570.0  # of all replicas, with the loading of the model; `attune models load` waits for two of them
END_TIMEOUT_S = 60.0
POLL_S = 0.5

OWNED, FAILURES, TURNS = "owned", "failures", "turns"  # folders of the cluster's texts
LONGEST_REASON = 2000  # characters
TROUBLE = (RayError, RayServeException, OSError)  # of Ray's own

T = TypeVar("T")

log = logging.getLogger("attune.models")


class Owned(Part):
    """What is not on the list: brought up or ended by `owner`, the name of a replica's actor."""

    deployed: Deployed
    owner: str


class ClusterModels:
    """`serve.oip.deployed.Deployments` on the cluster; an address is the name of an application.

    Each load has an application of its own, so that no handle can mean another than the one it was made for.
    """

    def __init__(self, config: ServerConfig, owner: str) -> None:
        """`owner`: the name of this ingress replica's actor; Ray knows whether it lives."""
        self._config = config
        self._owner = owner
        self._owned = ClusterTexts(OWNED)
        self._published = ClusterTexts(PUBLISHED)
        self._kept = ClusterTexts(KEPT)
        self._failures = ClusterTexts(FAILURES)
        self._turns = ClusterTexts(TURNS)
        self._deploying = threading.Lock()  # a DeploymentConfig of Serve's cannot be made in two threads at once

    async def published(self) -> Mapping[str, Deployed]:
        found = await _aside(self._published.all)
        return {name: Deployed.model_validate_json(text) for name, text in found.items()}

    async def claim(self, model: str) -> bool:
        return await _aside(self._claim, model)

    async def release(self, model: str) -> None:
        await _aside(self._release, model)

    def new(self, config: ModelConfig) -> Deployed:
        return Deployed(config=config, address=f"{APPLICATION}-{config.name}-{uuid.uuid4().hex[:8]}")

    async def start(self, deployed: Deployed, override: str) -> None:
        await _aside(self._deploy, deployed, override)
        await _until_running(deployed)

    async def publish(self, deployed: Deployed) -> bool:
        return await _aside(self._publish, deployed)

    async def replace(self, deployed: Deployed) -> None:
        await _aside(self._published.write, deployed.config.name, deployed.model_dump_json())

    async def withdraw(self, deployed: Deployed) -> None:
        await _aside(self._withdraw, deployed)

    async def end(self, deployed: Deployed) -> None:
        await _aside(_delete, deployed.address)
        await _until_gone(deployed.address)
        await _aside(self._kept.remove, place_of(deployed.address, deployed.config.name))
        await _aside(self._owned.remove, deployed.address)

    async def orphans(self) -> Sequence[Deployed]:
        return await _aside(self._orphans)

    async def settled(self) -> bool:
        return await _aside(_application_runs, APPLICATION)

    async def changed(self, model: str) -> None:
        await _aside(self._kept.remove, place_of(APPLICATION, model))

    async def failed(self, model: str, reason: str) -> None:
        if reason:
            await _aside(self._failures.write, model, reason[:LONGEST_REASON])
        else:
            await _aside(self._failures.remove, model)

    async def failures(self) -> Mapping[str, str]:
        return await _aside(self._failures.all)

    def host(self, deployed: Deployed) -> HostHandle:
        name = f"{MODEL_PREFIX}{deployed.config.name}"
        return HostHandle(name, by_value(DeploymentHandle(name, deployed.address)))

    def _turn(self, model: str) -> str:
        """The text that says whose turn it is: each who died with it has left its successor a text of its own."""
        name = model
        while (holder := self._turns.read(name)) not in ("", self._owner) and not _lives(holder):
            name = f"{model}/after/{holder}"
        return name

    def _claim(self, model: str) -> bool:
        turn = self._turn(model)
        mine = self._turns.add(turn, self._owner) or self._turns.read(turn) == self._owner  # Ray may write it twice
        return mine and self._turn(model) == turn  # it was read a while ago

    def _release(self, model: str) -> None:
        """Texts of successors stay: who has read the first one late must not find a turn that is nobody's."""
        if self._turns.read(self._turn(model)) == self._owner:
            self._turns.remove(model)

    def _own(self, deployed: Deployed) -> None:
        self._owned.write(deployed.address, Owned(deployed=deployed, owner=self._owner).model_dump_json())

    def _publish(self, deployed: Deployed) -> bool:
        name = deployed.config.name
        added = self._published.add(name, deployed.model_dump_json())
        if not added and self._listed(name) != deployed:  # Ray may write it twice
            return False
        try:
            self._owned.remove(deployed.address)
        except TROUBLE:  # it is served: what is owned and on the list is not ended
            log.exception("%s is on the list, and has an owner still", name)
        return True

    def _listed(self, name: str) -> Deployed | None:
        text = self._published.read(name)
        return Deployed.model_validate_json(text) if text else None

    def _withdraw(self, deployed: Deployed) -> None:
        if self._listed(deployed.config.name) == deployed:
            if deployed.address:
                self._own(deployed)  # first, so that it is never nobody's
            self._published.remove(deployed.config.name)

    def _orphans(self) -> list[Deployed]:
        found = [Owned.model_validate_json(text) for text in self._owned.all().values()]
        left = [one.deployed for one in found if not _lives(one.owner)]
        listed = [one for one in left if self._listed(one.config.name) == one]
        for one in listed:  # its owner died between the two halves of a change
            self._owned.remove(one.address)
        return [one for one in left if one not in listed]

    def _deploy(self, deployed: Deployed, override: str) -> None:
        self._own(deployed)
        name = deployed.config.name
        self._kept.write(place_of(deployed.address, name), Wanted(override=override).model_dump_json())
        self._kept.remove(place_of(APPLICATION, name))  # of a model that the server had before it was deployed anew
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


async def _until_gone(application: str) -> None:
    give_up = time.monotonic() + END_TIMEOUT_S
    while await _aside(_is_known, application):
        if time.monotonic() > give_up:
            raise NotReady(f"{application}: its replicas have not ended within {END_TIMEOUT_S:.0f} s")
        await asyncio.sleep(POLL_S)


def _runs(deployed: Deployed) -> bool:
    """Raises `InvalidConfig` when its replicas cannot start."""
    found = ray.serve.status().applications.get(deployed.address)
    if found is not None and found.status == ApplicationStatus.DEPLOY_FAILED:
        raise InvalidConfig(f"{_failed(deployed)} its replicas do not start: {_state(deployed)}")
    return _application_runs(deployed.address)


def _application_runs(name: str) -> bool:
    """RUNNING is one of which no replica starts or stops: those of before have answered and ended."""
    found = ray.serve.status().applications.get(name)
    return found is not None and found.status == ApplicationStatus.RUNNING


def _delete(application: str) -> None:
    ray.serve.delete(application, _blocking=False)


def _is_known(application: str) -> bool:
    return application in ray.serve.status().applications


def _lives(actor: str) -> bool:
    try:
        ray.get_actor(actor, namespace=SERVE_NAMESPACE)
    except ValueError:  # Ray knows none of this name that lives
        return False
    return True


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
    except TROUBLE as error:
        log.exception("the cluster does not answer")
        raise NotReady(f"the cluster does not answer: {type(error).__name__}") from error

"""Calls of a stage straight to its replicas, where they listen; by Ray Serve's handle otherwise.

Ray stays who says which replicas there are: they are asked through it where they listen, again and again. Ray's router
does not see these calls, nor do its counts and its log: a stage with `autoscaling` or `access_log` is called by Ray
alone. So is the generator, whose streams Ray's router deals out by how much it has given to each replica.
"""

import asyncio
import logging
from contextlib import suppress

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from interest.batch import Tensors
from interest.errors import NotReady
from serve.calls.listener import CallListener, Infer
from serve.calls.replicas import NoReplica, Replicas
from serve.calls.wire import Place, ReplicaLost
from serve.config import ServerConfig
from serve.metrics import STAGE_CALLS
from serve.ranker import Stage
from serve.ray_calls import stage_of
from serve.ray_streams import listening

REFRESH_S = 1.0  # between two questions where the replicas listen
ANSWER_S = 5.0  # so long they have to say it
AGAIN_S = 0.1  # at least so long after a connection was lost

log = logging.getLogger("attune.calls")


def goes_direct(stage: str, config: ServerConfig) -> bool:
    """Whether the replicas of this stage listen for calls."""
    return stage != "generator" and not config.deployment(stage).seen_by_ray


async def call_listener(stage: str, config: ServerConfig, infer: Infer) -> CallListener | None:
    """Of a replica of this stage. None where it is called by Ray, or cannot listen."""
    if not goes_direct(stage, config):
        return None
    return await listening(CallListener(stage, infer), f"calls of {stage}")


def direct_stage(name: str, handle: DeploymentHandle, config: ServerConfig) -> "DirectStage":
    """The stage as one ingress replica calls it; not started."""
    deployment = config.deployment(name)
    replicas = Replicas(name, deployment.max_ongoing_requests, deployment.max_queued_requests)
    return DirectStage(name, handle, stage_of(name, handle), replicas)


class DirectStage:
    """The deployment as a callable from tensors to tensors that raises our own errors.

    A call whose connection is lost is made once more: see `stage_of`.
    """

    def __init__(self, name: str, handle: DeploymentHandle, by_ray: Stage, replicas: Replicas) -> None:
        """`by_ray`: the same deployment as `stage_of` has it; `handle`: the same as Ray has it."""
        self._name = name
        self._handle = handle
        self._by_ray = by_ray
        self._replicas = replicas
        self._direct, self._others = (STAGE_CALLS.labels(name, way) for way in ("direct", "ray"))
        self._following: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """End every connection; calling it twice is harmless."""
        self._closing = True
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        self._replicas.close()

    async def __call__(self, tensors: Tensors) -> Tensors:
        try:
            return await self._once(tensors)
        except ReplicaLost as error:
            log.warning("a %s replica was lost with a call under way; calling another: %s", self._name, error)
        try:
            return await self._once(tensors)
        except ReplicaLost as error:
            raise NotReady(f"{self._name}: its replica died") from error

    async def _once(self, tensors: Tensors) -> Tensors:
        way = self._direct
        try:
            return await self._replicas.call(tensors)
        except NoReplica:
            way = self._others
        finally:
            way.inc()
        return await self._by_ray(tensors)

    async def _follow(self) -> None:
        while not self._closing:  # Ray's waiting may swallow a cancellation that meets its result
            self._replicas.changed.clear()
            try:
                await self._replicas.follow(await self._places())
            except (RayError, RayServeException, TimeoutError) as error:
                log.info("where the %s replicas listen is not known: %s", self._name, error)
            except Exception:  # whatever it is: who stops looking calls by Ray for ever
                log.exception("where the %s replicas listen cannot be asked", self._name)
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._replicas.changed.wait()
                    await asyncio.sleep(AGAIN_S)

    async def _places(self) -> set[Place]:
        """Where all replicas listen that Ray calls running. Those that do not answer stay where they are."""
        asked = self._handle.broadcast("listens_at")
        found = await asked.results_async(timeout_s=ANSWER_S, return_exceptions=True)
        places = {place for place in found if isinstance(place, Place)}
        return places | self._replicas.places if any(isinstance(one, BaseException) for one in found) else places

"""Deployment handles that look like stages and like hosts of models: tensors in and out, and only our own errors."""

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from interest.batch import Tensors
from interest.errors import AttuneError, NotReady, Overloaded
from serve.oip.hosted import HostState
from serve.oip.message import Answer
from serve.ranker import Stage

log = logging.getLogger("attune.deployments")


def by_value(handle: DeploymentHandle) -> DeploymentHandle:
    """The same, called from replica to replica by gRPC instead of through Ray's object store, at half of the cost.

    Ray's own setting for this is read by the process that binds the handles, which is not one of the cluster's.
    """
    return handle.options(_by_reference=False, request_serialization="pickle", response_serialization="pickle")


def stage_of(name: str, handle: DeploymentHandle) -> Stage:
    """The deployment as a callable from tensors to tensors that raises our own errors.

    A call whose replica died is made once more: every stage call may be repeated, because reads change nothing and
    writes carry idempotency keys.
    """

    async def call(tensors: Tensors) -> Tensors:
        try:
            return await _once(name, handle, tensors)
        except RayActorError:
            log.warning("a %s replica died with a call under way; calling another", name)
        try:
            return await _once(name, handle, tensors)
        except RayActorError as error:
            raise NotReady(f"{name}: its replica died") from error

    return call


@dataclass(frozen=True, slots=True)
class HostHandle:
    """All replicas of a user's model as one `Host`: questions go to one of them, changes to every one."""

    name: str
    handle: DeploymentHandle

    async def infer(self, version: str, tensors: Tensors) -> Answer:
        """Made once more when the replica died: answers of a model must not depend on how often it was asked."""
        try:
            answer: Answer = await self._asked("infer", version, tensors)
        except RayActorError:
            log.warning("a %s replica died with a call under way; calling another", self.name)
        else:
            return answer
        try:
            answer = await self._asked("infer", version, tensors)
        except RayActorError as error:
            raise NotReady(f"{self.name}: its replica died") from error
        return answer

    async def state(self) -> HostState:
        found: HostState = await self._asked("state")
        return found

    async def prepare(self, override: str = "") -> None:
        await self._everywhere("prepare", override)

    async def commit(self) -> None:
        await self._everywhere("commit")

    async def discard(self) -> None:
        await self._everywhere("discard")

    async def unload(self) -> None:
        await self._everywhere("unload")

    async def idle_s(self) -> float:
        """Of the replica that was used last."""
        found: list[float] = await self._everywhere("idle_s")
        return min(found, default=math.inf)

    async def _asked(self, method: str, *arguments: Any) -> Any:
        with own_errors(self.name):
            return await _answer_of(getattr(self.handle, method).remote(*arguments))

    async def _everywhere(self, method: str, *arguments: Any) -> list[Any]:
        """Returns when all replicas have ended; raises the first error then, so that none is still at it."""
        try:
            with own_errors(self.name):
                found = await self.handle.broadcast(method, *arguments).results_async(return_exceptions=True)
                for result in found:
                    if isinstance(result, Exception):
                        raise result
        except RayActorError as error:
            raise NotReady(f"{self.name}: its replica died") from error
        return list(found)


@contextmanager
def own_errors(name: str) -> Iterator[None]:
    """Raises our own errors, and `RayActorError` for a replica that died; nothing else leaves but a cancellation."""
    try:
        yield
    except RayTaskError as error:
        raise _own(name, error) from error
    except BackPressureError as error:
        raise Overloaded(f"{name}: its queue is full") from error
    except DeploymentUnavailableError as error:
        raise NotReady(f"{name}: no replica is healthy") from error
    except (AttuneError, RayActorError):
        raise
    except Exception as error:  # Ray's and gRPC's own trouble, of many classes (a message too long, a broken channel)
        log.exception("calling %s failed", name)
        raise AttuneError(f"{name}: {type(error).__name__}") from error


async def _once(name: str, handle: DeploymentHandle, tensors: Tensors) -> Tensors:
    with own_errors(name):
        answer: Tensors = await _answer_of(handle.infer.remote(tensors))
        return answer


async def _answer_of(response: DeploymentResponse) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()  # Ray does not, and the replica would work on for nobody
        raise


def _own(name: str, error: RayTaskError) -> AttuneError:
    """Our error out of Ray's wrapper: by class, with the text of our own attribute and not the remote traceback."""
    cause = error.cause
    if isinstance(cause, AttuneError):
        return cause
    log.error("%s failed: %s", name, error)
    return AttuneError(f"{name}: {type(cause).__name__}")

"""Deployment handles that look like stages and like hosts of models: tensors in and out, and only our own errors."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponse
from ray.util import get_node_ip_address

from interest.batch import Tensors
from interest.errors import AttuneError, NotReady, Overloaded
from serve.direct_stream import Listener, Unreachable
from serve.model import Parts
from serve.oip.hosted import HostState
from serve.oip.message import Answer
from serve.ranker import Stage

UNREACHABLE_S = 60.0  # so long no replica is asked again to connect

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

    async def _asked(self, method: str, *arguments: Any) -> Any:
        with _own_errors(self.name):
            return await _answer_of(getattr(self.handle, method).remote(*arguments))

    async def _everywhere(self, method: str, *arguments: Any) -> None:
        """Returns when all replicas have ended; raises the first error then, so that none is still at it."""
        with _own_errors(self.name):
            found = await self.handle.broadcast(method, *arguments).results_async(return_exceptions=True)
            for result in found:
                if isinstance(result, Exception):
                    raise result


class StreamedCalls:
    """The same for its streamed answers. A call whose replica died before it said anything is made once more.

    The parts come to the listener. Without one, and for a while after a replica could not reach it, they come as a
    stream of Ray Serve's own.
    """

    def __init__(self, name: str, handle: DeploymentHandle, listener: Listener | None) -> None:
        self._name = name
        self._handle = handle
        self._by_ray = handle.options(stream=True)
        self._listener = listener
        self._direct_from = 0.0  # perf_counter seconds

    async def __call__(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        for last_try in (False, True):
            begun = False
            try:
                async with aclosing(self._answer(tensors)) as growing:
                    async for parts in growing:
                        begun = True
                        yield parts
                return
            except RayActorError as error:
                if begun or last_try:
                    raise NotReady(f"{self._name}: its replica died") from error
                log.warning("a %s replica died before it answered; calling another", self._name)

    async def _answer(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        if self._listener is not None and time.perf_counter() >= self._direct_from:
            try:
                async with aclosing(self._sent_to(self._listener, tensors)) as growing:
                    async for parts in growing:
                        yield parts
                return
            except Unreachable as error:
                log.warning("a %s replica does not reach this one: %s", self._name, error)
                self._direct_from = time.perf_counter() + UNREACHABLE_S
        async with aclosing(self._streamed(tensors)) as growing:
            async for parts in growing:
                yield parts

    async def _sent_to(self, listener: Listener, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        with _own_errors(self._name), listener.stream() as stream:
            call = _answer_of(self._handle.stream_to.remote(tensors, stream.destination))
            async with aclosing(stream.of(call)) as growing:
                async for parts in growing:
                    yield parts

    async def _streamed(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        with _own_errors(self._name):
            response = self._by_ray.stream.remote(tensors)
            try:
                async for parts in response:
                    yield parts
            finally:
                response.cancel()  # of a call that has ended it does nothing


async def own_listener() -> Listener | None:
    """One that every replica of the cluster may reach; None where Ray encrypts what goes over the network."""
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):  # Ray's own words for it
        return None
    listener = Listener()
    await listener.start(get_node_ip_address())
    return listener


async def _once(name: str, handle: DeploymentHandle, tensors: Tensors) -> Tensors:
    with _own_errors(name):
        answer: Tensors = await _answer_of(handle.infer.remote(tensors))
        return answer


@contextmanager
def _own_errors(name: str) -> Iterator[None]:
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

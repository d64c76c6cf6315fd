"""Streamed calls of a deployment: their parts come straight to a listener of this replica, or else by Ray Serve."""

import logging
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol, TypeVar

from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator
from ray.util import get_node_ip_address

from interest.batch import Tensors
from interest.errors import NotReady
from serve.model import Parts
from serve.ray_calls import own_errors
from serve.streams.listener import Listener
from serve.streams.wire import PartsLost, Sent, Unreachable

UNREACHABLE_S = 60.0  # so long after parts could not be sent, all but one call that finds out go by Ray

log = logging.getLogger("attune.deployments")


class StreamedCalls:
    """The deployment as a callable from tensors to growing answers that raises our own errors.

    A call whose replica died before it said anything is made once more. Without a listener, and for a while after a
    replica could not reach it or parts were lost on their way, the parts come as a stream of Ray Serve's own.
    """

    def __init__(
        self,
        name: str,
        handle: DeploymentHandle,
        listener: Listener | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._name = name
        self._handle = handle.options(stream=True)
        self._listener = listener
        self._clock = clock
        self._doubted_until: float | None = None  # of `clock`; None: nothing speaks against the direct way

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
        if self._listener is not None and self._may_go_direct():
            finds_out, begun = self._doubted_until is not None, False
            try:
                async with aclosing(self._direct(self._listener, tensors)) as growing:
                    async for parts in growing:
                        if finds_out and not begun:
                            self._doubted_until = None
                        begun = True
                        yield parts
                return
            except (Unreachable, PartsLost) as error:
                log.warning("parts of a %s replica do not reach this one: %s", self._name, error)
                self._doubted_until = self._clock() + UNREACHABLE_S
                if begun:
                    raise
        async with aclosing(self._by_ray(tensors)) as growing:
            async for parts in growing:
                yield parts

    def _may_go_direct(self) -> bool:
        """While in doubt, for one call in `UNREACHABLE_S`."""
        if self._doubted_until is None:
            return True
        now = self._clock()
        if now < self._doubted_until:
            return False
        self._doubted_until = now + UNREACHABLE_S
        return True

    async def _direct(self, listener: Listener, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        with own_errors(self._name), listener.stream() as stream:
            call = _only_message(self._handle.stream_to.remote(tensors, stream.destination))
            async with aclosing(stream.of(call)) as growing:
                async for parts in growing:
                    yield parts

    async def _by_ray(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        with own_errors(self._name):
            response = self._handle.stream.remote(tensors)
            try:
                async for parts in response:
                    yield parts
            finally:
                response.cancel()  # of a call that has ended it does nothing


class Listens(Protocol):
    async def start(self, host: str) -> None:
        """Listen on a free port of this address. Raises `OSError`."""


L = TypeVar("L", bound=Listens)


async def own_listener() -> Listener | None:
    """One for parts of streams, as `listening`."""
    return await listening(Listener(), "streamed parts")


async def listening(listener: L, what: str) -> L | None:
    """The same once every replica of the cluster may reach it.

    None where Ray encrypts what goes over the network, and where this node's address cannot be listened at.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):  # Ray's own words for it
        return None
    try:
        await listener.start(get_node_ip_address())
    except OSError as error:
        log.warning("%s come by Ray, nothing listens for them here: %s", what, error)
        return None
    return listener


async def _only_message(response: DeploymentResponseGenerator) -> Sent:
    try:
        [sent] = [message async for message in response]
    finally:
        response.cancel()  # of a call that has ended it does nothing
    assert isinstance(sent, Sent)
    return sent

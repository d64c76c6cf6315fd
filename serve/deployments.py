"""The one thin Ray class of every stage, and what replicas of all kinds do as they start.

The ingress (`serve.ray_ingress`) and models of a user's own (`serve.ray_hosts`) have modules of their own: what those
import takes a second or two, which no replica of a stage should wait for.
"""

import gc
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from interest.batch import Tensors
from serve.calls.wire import Place
from serve.config import ServerConfig
from serve.model import Model, Parts, StreamingModel
from serve.ray_direct import call_listener
from serve.stages.factory import make_model
from serve.streams.senders import Senders
from serve.streams.wire import Destination, Sent

LAST_CALLS = 0.5  # of the time that Ray gives a replica to stop: for calls under way, the rest to unload its model


# More than the objects of a batch of requests in flight, so that no batch costs a collection: at Python's 700, and at
# the 10,000 of Ray's proxies, a tenth of the time goes into them.
ALLOCATIONS_A_COLLECTION = 50_000


def collect_seldom() -> None:
    """Set this process's garbage collector to what a replica with many small requests needs."""
    gc.set_threshold(ALLOCATIONS_A_COLLECTION)


def log_with_ray() -> None:
    """Attune's log lines go where Ray Serve's own of this replica go; of themselves they would go nowhere."""
    ours, rays = logging.getLogger("attune"), logging.getLogger("ray.serve")  # the name that Ray tells users to take
    ours.setLevel(rays.level)
    ours.propagate = False
    ours.handlers[:] = rays.handlers


def keep_loaded() -> None:
    """What is loaded by now stays for good: the collector need not look at it again."""
    gc.collect()
    gc.freeze()


class StageReplica:
    """One replica of one stage: a `Model` behind a Ray actor."""

    async def __init__(self, stage: str, config: ServerConfig) -> None:  # type: ignore[misc]  # Ray awaits it
        await self._start(make_model(stage, config), config)

    async def _start(self, model: Model, config: ServerConfig) -> None:
        collect_seldom()
        log_with_ray()
        self._senders, self._calls, self._last_calls_s = Senders(), None, 0.0
        self._model = model
        await model.load()
        self._calls = await call_listener(model.name, config, model.infer)
        self._last_calls_s = LAST_CALLS * config.deployment(model.name).graceful_shutdown_timeout_s
        keep_loaded()

    async def listens_at(self) -> Place | None:
        """Where ingress replicas may call `infer` without Ray. None: they may not."""
        return None if self._calls is None else self._calls.place

    async def infer(self, tensors: Tensors) -> Tensors:
        return await self._model.infer(tensors)

    async def stream(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        async with aclosing(self._growing(tensors)) as growing:
            async for parts in growing:
                yield parts

    async def stream_to(self, tensors: Tensors, destination: Destination) -> AsyncGenerator[Sent, None]:
        """The same, sent there: one message when all is. Raises `Unreachable` before anything is done.

        A stream because only of a stream does Ray's router hear at once, not at its end, how busy the replica is.
        """
        yield await self._senders.send(self._growing(tensors), destination)

    async def check_health(self) -> None:
        await self._model.check_health()

    async def __del__(self) -> None:
        if self._calls is not None:
            await self._calls.stop(self._last_calls_s)
        self._senders.close()
        await self._model.unload()

    def _growing(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        assert isinstance(self._model, StreamingModel), f"{self._model.name} does not stream"
        return self._model.stream(tensors)

"""One thin Ray class for every stage, one for models of a user's own, one for the ingress."""

import gc
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

import ray.serve
from ray.serve.handle import DeploymentHandle

from interest.batch import Tensors
from serve.calls.wire import Place
from serve.config import STAGES, ServerConfig
from serve.model import Model, Parts, StreamingModel
from serve.oip.hosted import HostState, ModelHost
from serve.oip.message import Answer
from serve.oip.model_config import ModelConfig
from serve.ray_calls import HostHandle, by_value, stage_of
from serve.ray_direct import call_listener, direct_stage, goes_direct
from serve.ray_grpc import GrpcCalls
from serve.ray_kept import kept_for
from serve.ray_streams import StreamedCalls, own_listener
from serve.routes.front import serve_directly
from serve.stages.factory import make_model
from serve.streams.senders import Senders
from serve.streams.wire import Destination, Sent

if TYPE_CHECKING:
    from serve.routes.app import ASGIApp

NO_MODELS: Mapping[str, ModelConfig] = {}
LAST_CALLS = 0.5  # of the time that Ray gives a replica to stop: for calls under way, the rest to unload its model
MODEL_PREFIX = "model_"  # of the deployments of users' models: their names cannot meet those of the stages


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


class ModelReplica:
    """One replica of a model of a user's own: a `ModelHost` behind a Ray actor."""

    async def __init__(self, url: str, name: str) -> None:  # type: ignore[misc]  # Ray awaits it
        collect_seldom()
        log_with_ray()
        self._host = ModelHost(url, name, kept_for(ray.serve.get_replica_context().app_name, name))
        keep_loaded()  # not the model: it may give way to another version
        await self._host.start()

    async def infer(self, version: str, tensors: Tensors) -> Answer:
        return await self._host.infer(version, tensors)

    async def state(self) -> HostState:
        return await self._host.state()

    async def prepare(self, override: str) -> None:
        await self._host.prepare(override)

    async def commit(self) -> None:
        await self._host.commit()

    async def discard(self) -> None:
        await self._host.discard()

    async def unload(self) -> None:
        await self._host.unload()

    async def idle_s(self) -> float:
        return await self._host.idle_s()

    async def __del__(self) -> None:
        await self._host.close()


class IngressReplica(GrpcCalls):
    """The HTTP and gRPC surface; the other deployments are reached through handles."""

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self, config: ServerConfig, configs: Mapping[str, ModelConfig] = NO_MODELS, **handles: DeploymentHandle
    ) -> None:
        """`configs`: of the models of the user's own in the repository when the server was deployed."""
        from serve.ingress import Ingress  # the other replicas need none of its imports
        from serve.oip.assembly import OwnModels
        from serve.ray_models import ClusterModels

        collect_seldom()
        log_with_ray()
        handles = {name: by_value(handle) for name, handle in handles.items()}
        self._stages = {name: direct_stage(name, handles[name], config) for name in STAGES if goes_direct(name, config)}
        stages = {name: self._stages.get(name) or stage_of(name, handles[name]) for name in STAGES}
        others = {name: handle for name, handle in handles.items() if name not in stages}
        hosts = {name.removeprefix(MODEL_PREFIX): HostHandle(name, handle) for name, handle in others.items()}
        me = ray.serve.get_replica_context().replica_id.to_full_id_str()
        own = OwnModels(configs, hosts, ClusterModels(config, me))
        self._listener = await own_listener()
        streaming = StreamedCalls("generator", handles["generator"], self._listener)
        self._ingress = Ingress(config, stages, streaming, own)
        for stage in self._stages.values():
            stage.start()
        await self._ingress.start()
        serve_directly(self._ingress.asgi_app(), config.deployment("ingress"))
        keep_loaded()
        self.grpc_service = self._ingress.grpc_service()

    def __serve_build_asgi_app__(self) -> "ASGIApp":
        return self._ingress.asgi_app(request_id_header=False)  # Ray Serve adds the header itself

    async def check_health(self) -> None:
        await self._ingress.check_health()

    async def __del__(self) -> None:
        await self._ingress.close()
        for stage in self._stages.values():
            await stage.close()
        if self._listener is not None:
            self._listener.close()


INGRESS = ray.serve.ingress()(IngressReplica)

"""The Ray class of the ingress: HTTP and gRPC in front of the stages and of the models of a user's own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import ray.serve
from ray.serve.handle import DeploymentHandle

from serve.config import STAGES, ServerConfig
from serve.deployments import collect_seldom, keep_loaded, log_with_ray
from serve.ingress import Ingress
from serve.oip.assembly import OwnModels
from serve.oip.model_config import ModelConfig
from serve.ray_calls import HostHandle, by_value, stage_of
from serve.ray_direct import direct_stage, goes_direct
from serve.ray_grpc import GrpcCalls
from serve.ray_hosts import MODEL_PREFIX
from serve.ray_models import ClusterModels
from serve.ray_streams import StreamedCalls, own_listener
from serve.routes.front import serve_directly

if TYPE_CHECKING:
    from serve.routes.app import ASGIApp

NO_MODELS: Mapping[str, ModelConfig] = {}


class IngressReplica(GrpcCalls):
    """The HTTP and gRPC surface; the other deployments are reached through handles."""

    async def __init__(  # type: ignore[misc]  # Ray awaits it
        self, config: ServerConfig, configs: Mapping[str, ModelConfig] = NO_MODELS, **handles: DeploymentHandle
    ) -> None:
        """`configs`: of the models of the user's own in the repository when the server was deployed."""
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

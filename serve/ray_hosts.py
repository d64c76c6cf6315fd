"""Deployments of models of a user's own: a Ray class, and what Ray Serve is told of it."""

import ray.serve
from ray.serve import Application

from interest.batch import Tensors
from serve.config import DeploymentConfig, ServerConfig
from serve.deployments import collect_seldom, keep_loaded, log_with_ray
from serve.oip.hosted import HostState, ModelHost
from serve.oip.message import Answer
from serve.oip.model_config import ModelConfig
from serve.ray_kept import kept_for
from serve.ray_options import deployment_options

MODEL_PREFIX = "model_"  # of the deployments of users' models: their names cannot meet those of the stages


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


def model_deployment(config: ServerConfig, model: ModelConfig) -> Application:
    """A model of a user's own, of the server's application or one of its own."""
    options = deployment_options(config.user_models.deployments.get(model.name, _as_configured(model)))
    deployment = ray.serve.deployment(ModelReplica, name=f"{MODEL_PREFIX}{model.name}", **options)
    return deployment.bind(config.models_url, model.name)


def _as_configured(model: ModelConfig) -> DeploymentConfig:
    """An instance is a replica: a process, and a GPU where the config says so."""
    return DeploymentConfig(num_replicas=model.instances, num_gpus=1 if model.on_gpu else 0)

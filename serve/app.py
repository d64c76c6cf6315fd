"""build_app(config): the Ray Serve application, every deployment bound with its own scaling."""

from typing import Any

import ray.serve
from ray.serve import Application

from serve.config import STAGES, DeploymentConfig, ServerConfig
from serve.deployments import INGRESS, MODEL_PREFIX, ModelReplica, StageReplica
from serve.oip.model_config import ModelConfig
from serve.oip.model_folders import read_user_models
from serve.startup import checked

APPLICATION = "attune"


def build_app(config: ServerConfig) -> Application:
    """Checks everything that can be checked before a replica starts, then binds the seven deployments.

    And one for each model of a user's own.

    Ray Serve calls this with the `args` of the Serve config file, validated as `ServerConfig`: an unknown key, an
    invalid release or an unreachable store stops the start with its name.
    """
    config = checked(config)
    handles = {
        stage: ray.serve.deployment(StageReplica, name=stage, **deployment_options(config.deployment(stage))).bind(
            stage, config
        )
        for stage in STAGES
    }
    own = read_user_models(config.models_url)
    for name, model in own.items():
        if not model.is_ensemble:
            handles[f"{MODEL_PREFIX}{name}"] = model_deployment(config, model)
    ingress = ray.serve.deployment(INGRESS, name="ingress", **deployment_options(config.deployment("ingress")))
    return ingress.bind(config, own, **handles)


def model_deployment(config: ServerConfig, model: ModelConfig) -> Application:
    """A model of a user's own, of the server's application or one of its own."""
    options = deployment_options(config.user_models.deployments.get(model.name, _as_configured(model)))
    deployment = ray.serve.deployment(ModelReplica, name=f"{MODEL_PREFIX}{model.name}", **options)
    return deployment.bind(config.models_url, model.name)


def _as_configured(model: ModelConfig) -> DeploymentConfig:
    """An instance is a replica: a process, and a GPU where the config says so."""
    return DeploymentConfig(num_replicas=model.instances, num_gpus=1 if model.on_gpu else 0)


def deployment_options(deployment: DeploymentConfig) -> dict[str, Any]:
    """What `ray.serve.deployment` is told of one of them."""
    actor: dict[str, Any] = {"num_cpus": deployment.num_cpus, "num_gpus": deployment.num_gpus}
    if deployment.resources:
        actor["resources"] = deployment.resources
    if deployment.env:
        actor["runtime_env"] = {"env_vars": deployment.env}
    options: dict[str, Any] = {
        "max_ongoing_requests": deployment.max_ongoing_requests,
        "max_queued_requests": deployment.max_queued_requests,
        "max_surge_percent": deployment.max_surge_percent,
        "graceful_shutdown_timeout_s": deployment.graceful_shutdown_timeout_s,
        "health_check_period_s": deployment.health_check_period_s,
        "health_check_timeout_s": deployment.health_check_timeout_s,
        "ray_actor_options": actor,
        "logging_config": {
            "enable_access_log": deployment.access_log,
            "log_level": "INFO" if deployment.access_log else "WARNING",
        },
    }
    if deployment.autoscaling is None:
        return options | {"num_replicas": deployment.num_replicas}
    return options | {"autoscaling_config": deployment.autoscaling.model_dump()}

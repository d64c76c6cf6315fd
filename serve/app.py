"""build_app(config): the Ray Serve application, every deployment bound with its own scaling."""

import ray.serve
from ray.serve import Application

from serve.config import STAGES, ServerConfig
from serve.deployments import StageReplica
from serve.oip.model_folders import read_user_models
from serve.ray_hosts import MODEL_PREFIX, model_deployment
from serve.ray_ingress import INGRESS
from serve.ray_options import deployment_options
from serve.startup import checked


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

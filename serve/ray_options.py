"""What Ray Serve is told of a deployment."""

from typing import Any

from serve.config import DeploymentConfig

APPLICATION = "attune"


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

"""A server in a process of its own, deployed anew on demand: a session's cluster is shared, and not for that."""

import sys
from pathlib import Path

import ray.serve

from serve.app import build_app
from serve.commands.server import wait_until_ready
from serve.config import DEPLOYMENTS, HttpConfig, parse_config
from serve.ray_cluster import free_port, running
from serve.ray_options import APPLICATION
from serve.startup import checked

TWICE = ("ingress",)


def main() -> None:
    """Says "attune URL" once it is ready, "attune deployed" after each line that comes in; it ends with its input."""
    folder = Path(sys.argv[1])
    deployments = {
        name: {
            "num_cpus": 0.01,
            "num_replicas": 2 if name in TWICE else 1,
            "max_ongoing_requests": 64,
            "max_surge_percent": 100,
        }
        for name in DEPLOYMENTS
    }
    raw = {
        "store": {"url": f"sqlite:///{folder / 'attune.db'}"},
        "repository": str(folder / "models"),
        "generation": {"enabled": False},
        "deployments": deployments,
    }
    config = checked(parse_config(raw, "test"))
    with running(config, HttpConfig(port=0, grpc_port=free_port())) as url:
        wait_until_ready(url)
        print(f"attune {url}", flush=True)
        for _ in sys.stdin:
            ray.serve.run(build_app(config), name=APPLICATION, route_prefix="/")
            print("attune deployed", flush=True)


if __name__ == "__main__":
    main()

"""One real Ray cluster for the end-to-end tests: real vLLM, two replicas of all but generator and store."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from serve.commands.server import wait_until_ready
from serve.config import DEPLOYMENTS, HttpConfig
from tests.serve.oip.folders import write_scaler, write_twice

TWICE = ("ingress", "interest", "retriever", "reranker", "encoder")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server and the home it serves."""

    url: str
    home: Any
    grpc: str  # host:port

    def client(self) -> httpx.Client:
        """Each call may reach another ingress replica: connections are not kept."""
        return httpx.Client(base_url=self.url, timeout=60, headers={"Connection": "close"})


@pytest.fixture(scope="session")
def cluster(trained_home: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Starts once a session; every process it starts is ended with it."""
    import shutil

    from serve.ray_cluster import free_port, running

    folder = tmp_path_factory.mktemp("cluster") / "home"
    shutil.copytree(trained_home.folder, folder)
    home = type(trained_home)(folder, trained_home.world)
    write_scaler(folder / "models", version_policy={"latest": {"num_versions": 2}}, instance_group=[{"count": 2}])
    write_twice(folder / "models")
    deployments = {
        name: {"num_cpus": 0.05, "num_replicas": 2 if name in TWICE else 1, "max_ongoing_requests": 64}
        for name in DEPLOYMENTS
    }
    grpc_port = free_port()
    own = {"deployments": {"scaler": {"num_cpus": 0.05, "num_replicas": 2}}}
    config = home.config(deployments=deployments, user_models=own)
    with running(config, HttpConfig(port=0, grpc_port=grpc_port)) as url:
        wait_until_ready(url)
        yield Cluster(url, home, f"127.0.0.1:{grpc_port}")

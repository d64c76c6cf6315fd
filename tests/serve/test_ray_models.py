"""Models deployed while the server runs: what Ray Serve is asked, and what its refusals become; without a cluster."""

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.serve
from ray.exceptions import RayActorError
from ray.serve.schema import ApplicationStatus

from interest.errors import InvalidConfig, NotReady
from serve import ray_models
from serve.config import ServerConfig
from serve.oip.model_folders import read_user_models
from serve.ray_models import ClusterModels
from tests.serve.oip.folders import write_scaler


class Texts(dict[str, str]):
    """`ClusterTexts` of one process."""

    read, write, all, remove = dict.__getitem__, dict.__setitem__, dict.copy, dict.pop

    def add(self, name: str, text: str) -> bool:
        return self.setdefault(name, text) is text


class Serve:
    """Ray Serve as `ClusterModels` sees it; an application takes the states in their order and stays in the last."""

    def __init__(self, *states: ApplicationStatus) -> None:
        self.states = list(states)
        self.running: dict[str, Any] = {}
        self.alone = threading.Lock()

    def run_many(self, targets: list[Any], wait_for_applications_running: bool) -> None:
        assert self.alone.acquire(blocking=False), "Serve's own code is not for two threads"
        time.sleep(0.01)
        self.running |= {target.name: target for target in targets}
        self.alone.release()

    def status(self) -> Any:
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        deployment = SimpleNamespace(message="no GPU\n  is free")
        one = SimpleNamespace(status=now, message="", deployments={"model_scaler": deployment})
        return SimpleNamespace(applications=dict.fromkeys(self.running, one))

    def delete(self, name: str) -> None:
        del self.running[name]


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Texts]:
    folders: dict[str, Texts] = {}
    monkeypatch.setattr(ray_models, "ClusterTexts", lambda folder: folders.setdefault(folder, Texts()))
    monkeypatch.setattr(ray_models, "POLL_S", 0)
    return folders


def models_on(serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterModels:
    for name in ("run_many", "status", "delete"):
        monkeypatch.setattr(ray.serve, name, getattr(serve, name))
    settings = {"url": str(folder), "deployments": {"scaler": {"num_replicas": 3, "num_cpus": 0.5}}}
    return ClusterModels(ServerConfig.model_validate({"user_models": settings}))


async def test_a_model_is_an_application_without_a_route_scaled_as_the_config_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    serve = Serve(ApplicationStatus.DEPLOYING, ApplicationStatus.RUNNING)
    models = models_on(serve, tmp_path, monkeypatch)
    deployed = await models.start(read_user_models(str(tmp_path))["scaler"], "{}")
    (target,) = serve.running.values()
    deployment = target.target._bound_deployment
    assert (target.name, target.route_prefix) == (deployed.address, None)
    assert (deployment.name, deployment.num_replicas) == ("model_scaler", 3)
    assert texts["override"] == {f"{deployed.address}/model_scaler": "{}"}
    assert await models.publish(deployed)
    assert not await models.publish(deployed.model_copy(update={"address": "another"}))
    assert await models.published() == {"scaler": deployed}
    await models.withdraw(deployed)
    await models.end(deployed)
    assert (await models.published(), texts["override"], serve.running) == ({}, {}, {})


async def test_models_loaded_at_once_are_deployed_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    serve = Serve(ApplicationStatus.RUNNING)
    models, config = models_on(serve, tmp_path, monkeypatch), read_user_models(str(tmp_path))["scaler"]
    await asyncio.gather(*(models.start(config, "") for _ in range(4)))
    assert len(serve.running) == 4


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (ApplicationStatus.DEPLOY_FAILED, "'scaler': its replicas do not start: no GPU is free"),
        (ApplicationStatus.DEPLOYING, "'scaler': not within 0 s: no GPU is free"),
    ],
)
async def test_replicas_that_do_not_start_are_refused_in_serves_own_words_and_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    texts: dict[str, Texts],
    state: ApplicationStatus,
    message: str,
) -> None:
    write_scaler(tmp_path)
    monkeypatch.setattr(ray_models, "START_TIMEOUT_S", 0)
    serve = Serve(state)
    with pytest.raises(InvalidConfig, match=message):
        await models_on(serve, tmp_path, monkeypatch).start(read_user_models(str(tmp_path))["scaler"], "")
    assert (serve.running, texts["override"]) == ({}, {})


async def test_a_cluster_that_does_not_answer_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    def gone(*arguments: object) -> None:
        raise RayActorError

    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    monkeypatch.setattr(texts["models"], "all", gone)
    with pytest.raises(NotReady, match="does not answer: RayActorError"):
        await models.published()

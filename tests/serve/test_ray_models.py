"""Models deployed while the server runs: what Ray Serve is asked, and what its refusals become; without a cluster."""

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.serve
from ray.exceptions import RayActorError, RpcError
from ray.serve.schema import ApplicationStatus

from interest.errors import InvalidConfig, NotReady
from serve import ray_kept, ray_models
from serve.config import ServerConfig
from serve.oip.deployed import Deployed
from serve.oip.model_config import ModelConfig
from serve.oip.model_folders import read_user_models
from serve.oip.wanted import Wanted, wanted_of
from serve.ray_kept import kept_for
from serve.ray_models import ClusterModels
from serve.ray_options import APPLICATION
from tests.serve.cluster_texts import Texts
from tests.serve.oip.folders import write_scaler

OWNER = "this ingress replica"


class Serve:
    """Ray Serve as `ClusterModels` sees it; an application takes the states in their order and stays in the last."""

    def __init__(self, *states: ApplicationStatus) -> None:
        self.states = list(states)
        self.running: dict[str, Any] = {}
        self.ending: dict[str, int] = {}
        self.polls_until_gone = 2
        self.alone = threading.Lock()

    def run_many(self, targets: list[Any], wait_for_applications_running: bool) -> None:
        assert self.alone.acquire(blocking=False), "Serve's own code is not for two threads"
        time.sleep(0.01)
        self.running |= {target.name: target for target in targets}
        self.alone.release()

    def status(self) -> Any:
        for name, polls in self.ending.items():
            self.ending[name] = polls - 1
            if polls == 0:
                self.running.pop(name, None)
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        deployment = SimpleNamespace(message="no GPU\n  is free")
        one = SimpleNamespace(status=now, message="", deployments={"model_scaler": deployment})
        return SimpleNamespace(applications=dict.fromkeys(self.running, one))

    @staticmethod
    def no_actor(name: str, namespace: str) -> None:
        raise ValueError(name)

    def delete(self, name: str, _blocking: bool) -> None:
        assert not _blocking, "it would hold a thread that others wait for"
        self.ending[name] = self.polls_until_gone if name in self.running else 0


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Texts]:
    folders: dict[str, Texts] = {}
    for module in (ray_models, ray_kept):
        monkeypatch.setattr(module, "ClusterTexts", lambda folder: folders.setdefault(folder, Texts()))
    monkeypatch.setattr(ray_models, "POLL_S", 0)
    return folders


def models_on(serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterModels:
    for name in ("run_many", "status", "delete"):
        monkeypatch.setattr(ray.serve, name, getattr(serve, name))
    settings = {"url": str(folder), "deployments": {"scaler": {"num_replicas": 3, "num_cpus": 0.5}}}
    return ClusterModels(ServerConfig.model_validate({"user_models": settings}), OWNER)


async def started(models: ClusterModels, config: ModelConfig, override: str = "") -> Deployed:
    deployed = models.new(config)
    await models.start(deployed, override)
    return deployed


async def test_a_model_is_an_application_without_a_route_scaled_as_the_config_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    serve = Serve(ApplicationStatus.DEPLOYING, ApplicationStatus.RUNNING)
    models = models_on(serve, tmp_path, monkeypatch)
    texts["kept"]["attune/scaler"] = "of a server before"
    deployed = await started(models, read_user_models(str(tmp_path))["scaler"], "{}")
    (target,) = serve.running.values()
    deployment = target.target._bound_deployment
    assert (target.name, target.route_prefix) == (deployed.address, None)
    assert (deployment.name, deployment.num_replicas) == ("model_scaler", 3)
    assert texts["kept"] == {f"{deployed.address}/scaler": Wanted(override="{}").model_dump_json()}
    assert [await models.publish(deployed) for _ in range(2)] == [True, True], "Ray may write it again"
    assert not await models.publish(deployed.model_copy(update={"address": "another"}))
    assert await models.published() == {"scaler": deployed}
    await models.withdraw(deployed)
    await models.end(deployed)
    assert (await models.published(), texts["kept"], serve.running) == ({}, {}, {})


async def test_a_server_deployed_anew_takes_along_what_was_wanted_of_a_model_that_was_loaded_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    assert wanted_of(kept_for(APPLICATION, "scaler")) == Wanted()
    deployed = await started(models, read_user_models(str(tmp_path))["scaler"], '{"max_batch_size": 2}')
    assert wanted_of(kept_for(APPLICATION, "scaler")) == Wanted(), "it is not served yet"
    await models.publish(deployed)
    loaded = Wanted(override='{"max_batch_size": 2}')
    assert wanted_of(kept_for(deployed.address, "scaler")) == loaded
    assert wanted_of(kept_for(APPLICATION, "scaler")) == loaded
    kept_for(deployed.address, "scaler").write(Wanted().model_dump_json())
    assert wanted_of(kept_for(APPLICATION, "scaler")) == loaded, "replicas of before go on with it"
    await models.changed("scaler")
    assert wanted_of(kept_for(APPLICATION, "scaler")) == Wanted(), "it was loaded again"
    kept_for(APPLICATION, "scaler").write(Wanted(loaded=False).model_dump_json())
    assert wanted_of(kept_for(APPLICATION, "scaler")) == Wanted(loaded=False), "what was asked since counts"
    await models.withdraw(deployed)
    await models.end(deployed)
    assert wanted_of(kept_for(APPLICATION, "scaler")) == Wanted(loaded=False)


async def test_a_text_that_another_replica_writes_meanwhile_is_not_overwritten_by_what_is_taken_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    deployed = await started(models, read_user_models(str(tmp_path))["scaler"])
    await models.publish(deployed)
    unloaded, read = Wanted(loaded=False).model_dump_json(), texts["kept"].read

    def interrupted(name: str) -> str:
        found = read(name)
        texts["kept"]["attune/scaler"] = unloaded
        return found

    monkeypatch.setattr(texts["kept"], "read", interrupted)
    assert kept_for(APPLICATION, "scaler").read() == unloaded


async def test_nothing_is_taken_along_of_a_model_that_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    await models.publish(models.new(read_user_models(str(tmp_path))["scaler"]))
    assert wanted_of(kept_for(APPLICATION, "scaler")) == Wanted()
    assert texts["kept"] == {}


async def test_a_model_is_on_the_list_although_its_owner_could_not_be_removed_and_is_no_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    monkeypatch.setattr(ray, "get_actor", Serve.no_actor)
    deployed = await started(models, read_user_models(str(tmp_path))["scaler"])

    def fails(name: str) -> None:
        raise RpcError("no reply")

    with monkeypatch.context() as patch:
        patch.setattr(texts["owned"], "remove", fails)
        assert await models.publish(deployed)
    assert (await models.published(), await models.orphans()) == ({"scaler": deployed}, [])


async def test_replicas_that_do_not_end_in_time_are_trouble_and_can_be_ended_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    serve = Serve(ApplicationStatus.RUNNING)
    models = models_on(serve, tmp_path, monkeypatch)
    deployed = await started(models, read_user_models(str(tmp_path))["scaler"])
    monkeypatch.setattr(ray_models, "END_TIMEOUT_S", 0)
    with pytest.raises(NotReady, match="its replicas have not ended within 0 s"):
        await models.end(deployed)
    assert list(texts["owned"]) == [deployed.address]
    monkeypatch.setattr(ray_models, "END_TIMEOUT_S", 60)
    await models.end(deployed)
    assert (serve.running, texts["owned"], texts["kept"]) == ({}, {}, {})


async def test_reasons_of_loads_that_failed_are_kept_for_all_and_are_not_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    await models.failed("scaler", "no weights " * 1000)
    ((model, reason),) = (await models.failures()).items()
    assert (model, len(reason)) == ("scaler", ray_models.LONGEST_REASON)
    for _ in range(2):
        await models.failed("scaler", "")
        assert await models.failures() == {}


@pytest.mark.parametrize(
    ("done", "left"),
    [
        (("start",), True),
        (("start", "publish"), False),
        (("start", "publish", "withdraw"), True),
        (("start", "publish", "withdraw", "end"), False),
        (("start", "end"), False),
    ],
)
async def test_what_is_not_on_the_list_is_an_orphan_once_its_ingress_replica_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts], done: tuple[str, ...], left: bool
) -> None:
    write_scaler(tmp_path)
    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    living = {OWNER}

    def get_actor(name: str, namespace: str) -> None:
        if name not in living:
            raise ValueError(name)

    monkeypatch.setattr(ray, "get_actor", get_actor)
    deployed = await started(models, read_user_models(str(tmp_path))["scaler"])
    for step in done[1:]:
        await getattr(models, step)(deployed)
    assert await models.orphans() == []
    living.clear()
    assert await models.orphans() == ([deployed] if left else [])
    await models.end(deployed)
    assert (await models.orphans(), texts["owned"]) == ([], {})


async def test_a_replica_that_died_between_the_halves_of_a_change_leaves_what_is_on_the_list_to_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    monkeypatch.setattr(ray, "get_actor", Serve.no_actor)
    deployed = await started(models, read_user_models(str(tmp_path))["scaler"])
    texts["models"].add("scaler", deployed.model_dump_json())
    assert (await models.orphans(), texts["owned"]) == ([], {})


@pytest.mark.parametrize(
    ("state", "settled"), [(ApplicationStatus.DEPLOYING, False), (ApplicationStatus.RUNNING, True)]
)
async def test_a_deployment_is_settled_when_serve_says_that_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts], state: ApplicationStatus, settled: bool
) -> None:
    serve = Serve(state)
    serve.running[APPLICATION] = None
    assert await models_on(serve, tmp_path, monkeypatch).settled() == settled


async def test_models_loaded_at_once_are_deployed_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    write_scaler(tmp_path)
    serve = Serve(ApplicationStatus.RUNNING)
    models, config = models_on(serve, tmp_path, monkeypatch), read_user_models(str(tmp_path))["scaler"]
    await asyncio.gather(*(started(models, config) for _ in range(4)))
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
    models = models_on(serve, tmp_path, monkeypatch)
    deployed = models.new(read_user_models(str(tmp_path))["scaler"])
    with pytest.raises(InvalidConfig, match=message):
        await models.start(deployed, "")
    await models.end(deployed)
    assert (serve.running, texts["kept"]) == ({}, {})


async def test_a_cluster_that_does_not_answer_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, Texts]
) -> None:
    def gone(*arguments: object) -> None:
        raise RayActorError

    models = models_on(Serve(ApplicationStatus.RUNNING), tmp_path, monkeypatch)
    monkeypatch.setattr(texts["models"], "all", gone)
    with pytest.raises(NotReady, match="does not answer: RayActorError"):
        await models.published()

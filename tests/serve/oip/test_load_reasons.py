"""Why a folder is not served: told by the index of every ingress replica, at a price that callers cannot raise."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from interest.errors import DeadlineExceeded
from serve.oip import added_models, entries, question
from serve.oip.added_models import AddedModels
from serve.oip.deployed import Deployed, NoDeployments
from serve.oip.errors import InvalidInput, UnknownModel
from serve.oip.hosted import HostState, ModelHost
from serve.oip.model_folders import NOT_LOADED
from serve.oip.server import InferenceServer
from tests.serve.oip.folders import write_config, write_scaler, write_twice, write_version
from tests.serve.oip.ingresses import Pair, answer, new_ingress, states
from tests.serve.oip.local_deployments import LocalDeployments


async def test_the_index_tells_why_a_folder_could_not_be_loaded_without_loading_it(both: Pair, tmp_path: Path) -> None:
    write_config(tmp_path / "bad", speed=1)
    write_scaler(tmp_path)
    write_twice(tmp_path)
    told = {one["name"]: one["reason"] for one in await both[0].index()}
    assert "speed" in told["bad"]
    assert (told["scaler"], told["twice"]) == (NOT_LOADED, NOT_LOADED)


async def test_the_index_of_every_ingress_replica_tells_why_the_last_load_failed_until_one_succeeds(
    both: Pair, tmp_path: Path
) -> None:
    write_version(write_scaler(tmp_path), "1", 2, "raise RuntimeError('no weights')")
    given = {"config": json.dumps({"parameters": {"unit": {"string_value": "ten"}}})}
    for parameters, reason in (({}, "RuntimeError: no weights"), (given, "could not convert string to float: 'ten'")):
        with pytest.raises(InvalidInput, match=reason):
            await both[0].load("scaler", parameters)
        for server in both:
            assert reason in (await states(server))[0][2]
        write_version(tmp_path / "scaler", "1", 2)
    await both[0].load("scaler")
    await both[0].unload("scaler")
    assert [await states(server) for server in both] == [[("1", "UNAVAILABLE", NOT_LOADED)]] * 2


async def test_the_reason_of_a_folder_that_is_gone_is_not_told_of_the_next_of_its_name(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_version(write_scaler(tmp_path), "1", 2, "raise RuntimeError('no weights')")
    with pytest.raises(InvalidInput, match="no weights"):
        await both[0].load("scaler")
    shutil.rmtree(tmp_path / "scaler")
    await asyncio.sleep(question.RECENT_S)
    assert await states(both[1]) == []
    assert await deployments.failures() == {}
    write_scaler(tmp_path)
    await asyncio.sleep(question.RECENT_S)
    assert [await states(server) for server in both] == [[("1", "UNAVAILABLE", NOT_LOADED)]] * 2


async def test_names_that_clients_make_up_cost_no_question_to_the_cluster_each(
    tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (added_models, entries):
        monkeypatch.setattr(module, "FOLLOW_S", 60)
    monkeypatch.setattr(question, "RECENT_S", 60)
    write_scaler(tmp_path)
    deployments.listed["scaler"] = await deployments.started("scaler")
    server = new_ingress(deployments)
    await server.start()
    assert await answer(server) == 2
    asked = Counter[str]()
    published, failures, state = deployments.published, deployments.failures, ModelHost.state

    async def counted_published() -> Mapping[str, Deployed]:
        asked["list"] += 1
        return await published()

    async def counted_failures() -> Mapping[str, str]:
        asked["reasons"] += 1
        return await failures()

    async def counted_state(host: ModelHost) -> HostState:
        asked["state"] += 1
        return await state(host)

    monkeypatch.setattr(deployments, "published", counted_published)
    monkeypatch.setattr(deployments, "failures", counted_failures)
    monkeypatch.setattr(ModelHost, "state", counted_state)
    for number in range(500):
        for model, version in ((f"made-up-{number}", ""), ("scaler", str(number + 2))):
            for call in (server.is_ready, server.require, server.statistics):
                with pytest.raises(UnknownModel):
                    await call(model, version)
        for change in (server.load, server.unload):
            with pytest.raises(UnknownModel):
                await change(f"made-up-{number}")
        if number % 50 == 0:
            await server.index()
    assert asked["reasons"] == 1, asked
    assert asked.total() <= 3, asked
    await server.close()
    await deployments.running["scaler-1"].close()


async def test_a_request_does_not_wait_longer_for_a_cluster_that_does_not_answer_than_for_an_answer(
    tmp_path: Path,
) -> None:
    class Silent(NoDeployments):
        async def published(self) -> Mapping[str, Deployed]:
            return await asyncio.Future[Mapping[str, Deployed]]()

    server = InferenceServer("attune", "1", {}, 0.01, AddedModels(str(tmp_path), (), Silent()))
    with pytest.raises(DeadlineExceeded, match="scaler: no answer within"):
        await asyncio.wait_for(answer(server), 5)
    await server.close()


async def test_a_server_without_a_cluster_says_that_it_starts_nothing(tmp_path: Path) -> None:
    write_scaler(tmp_path)
    server = InferenceServer("attune", "1", {}, 30, AddedModels(str(tmp_path), (), NoDeployments()))
    with pytest.raises(InvalidInput, match="starts no deployments"):
        await server.load("scaler")
    await server.close()


async def test_a_name_is_never_a_path_or_one_of_the_servers_own(both: Pair, tmp_path: Path) -> None:
    write_scaler(tmp_path.parent, name=f"{tmp_path.name}-elsewhere")
    write_scaler(tmp_path, name="generator")
    for name in (f"../{tmp_path.name}-elsewhere", "generator", "..", ""):
        with pytest.raises(UnknownModel):
            await both[0].load(name)

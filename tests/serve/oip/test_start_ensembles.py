"""Ensembles that the server was started with: changed and unloaded like those that came later."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from serve.oip.errors import InvalidInput, UnknownModel
from serve.oip.model_folders import ModelFolder
from serve.oip.server import InferenceServer
from tests.serve.oip.folders import ensemble_step, steps, write_scaler, write_twice
from tests.serve.oip.ingresses import Pair, new_ingress, twice, until
from tests.serve.oip.local_deployments import LocalDeployments


@pytest_asyncio.fixture
async def of_start(tmp_path: Path, deployments: LocalDeployments) -> AsyncIterator[Pair]:
    """Two ingress replicas that were started with the ensemble "twice", of a model that one of them has loaded."""
    write_scaler(tmp_path)
    write_twice(tmp_path)
    servers = new_of_start(deployments), new_of_start(deployments)
    for server in servers:
        await server.start()
    await servers[0].load("scaler")
    yield servers
    for server in servers:
        await server.close()
    for host in deployments.running.values():
        await host.close()


def new_of_start(deployments: LocalDeployments, *names: str) -> InferenceServer:
    """Started with what the folders of these ensembles say now, of "twice" without any."""
    configs = {name: ModelFolder(deployments._url, name).config() for name in names or ("twice",)}
    return new_ingress(deployments, ensembles=configs)


async def test_an_ensemble_of_the_start_is_changed_for_all_and_back_again(
    of_start: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    assert [await twice(server) for server in of_start] == [4, 4]
    await of_start[0].load("twice")
    assert deployments.listed.keys() == {"scaler"}, "nothing has changed"
    write_twice(tmp_path, ensemble_scheduling=steps(("scaler", "a", "c")))
    await of_start[0].load("twice")
    assert [await twice(server) for server in of_start] == [2, 2]
    assert [one["state"] for one in await of_start[1].index() if one["name"] == "twice"] == ["READY"]
    write_twice(tmp_path)
    await of_start[1].load("twice")
    assert [await twice(server) for server in of_start] == [4, 4]
    assert deployments.listed.keys() == {"scaler"}


async def test_an_ensemble_of_the_start_is_unloaded_for_all_until_it_is_loaded(
    of_start: Pair, deployments: LocalDeployments
) -> None:
    await of_start[1].unload("twice")
    reborn = new_of_start(deployments)
    await reborn.start()
    for server in (*of_start, reborn):
        with pytest.raises(UnknownModel, match="'twice' is not found"):
            await twice(server)
        (state,) = [(one["state"], one["reason"]) for one in await server.index() if one["name"] == "twice"]
        assert state == ("UNAVAILABLE", "unloaded")
    await of_start[0].load("twice")
    assert [await twice(server) for server in (*of_start, reborn)] == [4, 4, 4]
    await reborn.close()


@pytest.mark.parametrize(("given", "then", "left"), [(True, 2, {"scaler", "twice"}), (False, 8, {"scaler"})])
async def test_a_server_deployed_anew_serves_what_the_folder_says_then_but_for_a_config_that_was_given(
    of_start: Pair, tmp_path: Path, deployments: LocalDeployments, given: bool, then: float, left: set[str]
) -> None:
    once = {"ensemble_scheduling": steps(("scaler", "a", "c"))}
    config = ModelFolder(str(tmp_path), "twice").config().to_json() | once
    write_twice(tmp_path, ensemble_scheduling=once["ensemble_scheduling"])
    await of_start[0].load("twice", {"config": json.dumps(config)} if given else {})
    write_twice(tmp_path, ensemble_scheduling=steps(("scaler", "a", "b"), ("scaler", "b", "d"), ("scaler", "d", "c")))
    deployments.all_new = False
    anew = new_of_start(deployments)
    await anew.start()
    assert [await twice(server) for server in (anew, of_start[0])] == [then, 2], "those of before know the old folder"
    deployments.all_new = True
    assert await until(lambda: deployments.listed.keys() == left)
    await anew.close()


async def test_deployed_anew_what_was_unloaded_stays_so_and_what_has_left_the_folder_is_forgotten(
    of_start: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    await of_start[0].unload("twice")
    write_twice(tmp_path, ensemble_scheduling=steps(("scaler", "a", "c")))
    anew = new_of_start(deployments)
    await anew.start()
    with pytest.raises(UnknownModel):
        await twice(anew)
    await anew.load("twice")
    assert await twice(anew) == 2
    await anew.unload("twice")
    for server in (*of_start, anew):
        await server.close()
    shutil.rmtree(tmp_path / "twice")
    without = new_ingress(deployments)
    await without.start()
    assert await until(lambda: deployments.listed.keys() == {"scaler"})
    assert [one["name"] for one in await without.index()] == ["scaler"]
    await without.close()


async def test_a_config_that_was_given_does_not_close_a_circle_with_folders_of_later(
    of_start: Pair, tmp_path: Path, deployments: LocalDeployments, caplog: pytest.LogCaptureFixture
) -> None:
    write_twice(tmp_path, name="other")
    await of_start[0].load("other")
    made_of_other = ModelFolder(str(tmp_path), "twice").config().to_json()
    made_of_other["ensemble_scheduling"] = {"step": [ensemble_step("other", "a", "c")]}
    await of_start[0].load("twice", {"config": json.dumps(made_of_other)})
    assert await twice(of_start[1]) == 4
    write_twice(tmp_path, name="other", ensemble_scheduling={"step": [ensemble_step("twice", "a", "c")]})
    anew = new_of_start(deployments, "other", "twice")
    await anew.start()
    assert [await twice(anew, name) for name in ("twice", "other")] == [4, 4]
    assert "came to be made of it" in caplog.text
    await anew.close()


async def test_an_ensemble_of_the_start_becomes_no_model(of_start: Pair, tmp_path: Path) -> None:
    write_scaler(tmp_path, name="twice")
    with pytest.raises(InvalidInput, match="the server was started with an ensemble of this name"):
        await of_start[0].load("twice")
    assert [await twice(server) for server in of_start] == [4, 4]

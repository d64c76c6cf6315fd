"""Ensembles that the server was started with: changed and unloaded like those that came later."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from serve.oip.errors import UnknownModel
from serve.oip.model_folders import ModelFolder
from serve.oip.server import InferenceServer
from tests.serve.oip.folders import steps, write_scaler, write_twice
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


def new_of_start(deployments: LocalDeployments) -> InferenceServer:
    """Started with what the folder says now."""
    return new_ingress(deployments, ensembles={"twice": ModelFolder(deployments._url, "twice").config()})


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


async def test_a_server_deployed_anew_serves_what_the_folder_says_then_and_keeps_a_config_that_was_given(
    of_start: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    once = {"ensemble_scheduling": steps(("scaler", "a", "c"))}
    await of_start[0].load(
        "twice", {"config": json.dumps(ModelFolder(str(tmp_path), "twice").config().to_json() | once)}
    )
    same = new_of_start(deployments)
    await same.start()
    assert await twice(same) == 2, "it holds until the next load"
    await same.close()
    write_twice(tmp_path, ensemble_scheduling=steps(("scaler", "a", "b"), ("scaler", "b", "d"), ("scaler", "d", "c")))
    deployments.all_new = False
    anew = new_of_start(deployments)
    await anew.start()
    assert [await twice(server) for server in (anew, of_start[0])] == [8, 2], "those of before know the old folder"
    deployments.all_new = True
    assert await until(lambda: deployments.listed.keys() == {"scaler"})
    await anew.close()

"""Replicas that nobody needs: ended by whoever sees it, not before all have followed, and again when it failed."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from interest.errors import NotReady
from serve.oip import ending
from serve.oip.deployed import Deployed
from serve.oip.entries import UserEntry
from serve.oip.errors import InvalidInput
from serve.oip.hosted import ModelHost
from serve.oip.model_folders import ModelFolder
from tests.serve.oip.folders import write_scaler, write_twice, write_version
from tests.serve.oip.ingresses import Pair, answer, new_ingress, twice, until
from tests.serve.oip.local_deployments import LocalDeployments


def fails_once(what: Any, *, done: bool = False) -> Any:
    """The first call raises, after it was `done` or instead."""
    left = [NotReady("the cluster does not answer")]

    async def call(*arguments: Any) -> Any:
        if not left:
            return await what(*arguments)
        error = left.pop()
        if done:
            await what(*arguments)
        raise error

    return call


async def test_what_an_ingress_replica_left_when_it_died_is_ended_by_the_others(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_scaler(tmp_path)
    deployments.unowned = [await deployments.started("scaler")]
    await both[0].load("scaler")
    assert await until(lambda: list(deployments.running) == ["scaler-2"])
    assert [await answer(server) for server in both] == [2, 2]


async def test_replicas_that_could_not_be_ended_when_it_was_unloaded_are_ended_later(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler")
    monkeypatch.setattr(deployments, "end", fails_once(deployments.end))
    await both[0].unload("scaler")
    assert await until(lambda: deployments.running == {})
    await both[1].load("scaler")
    assert [await answer(server) for server in both] == [2, 2]


async def test_replicas_that_could_not_be_ended_when_their_load_was_refused_are_ended_later(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(write_scaler(tmp_path), "1", 2, "raise RuntimeError('no weights')")
    monkeypatch.setattr(deployments, "end", fails_once(deployments.end))
    with pytest.raises(InvalidInput, match="no weights"):
        await both[0].load("scaler")
    assert await until(lambda: deployments.running == {})


async def test_replicas_of_which_not_all_have_started_are_ended_although_not_at_once(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scaler(tmp_path)
    monkeypatch.setattr(deployments, "start", fails_once(deployments.start, done=True))
    monkeypatch.setattr(deployments, "end", fails_once(deployments.end))
    with pytest.raises(NotReady):
        await both[0].load("scaler")
    assert list(deployments.running) == ["scaler-1"]
    assert await until(lambda: deployments.running == {})


@pytest.mark.parametrize("done", [True, False])
async def test_a_withdrawal_that_raised_ends_the_replicas_if_it_went_through_and_leaves_them_to_serve_if_not(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler")
    monkeypatch.setattr(deployments, "withdraw", fails_once(deployments.withdraw, done=done))
    with pytest.raises(NotReady):
        await both[0].unload("scaler")
    if done:
        assert await until(lambda: deployments.running == {})
        return
    assert await until(lambda: not both[0]._added._endings._left)
    assert [await answer(server) for server in both] == [2, 2]
    await both[0].unload("scaler")
    assert deployments.running == {}


@pytest.mark.parametrize("done", [True, False])
async def test_a_listing_that_raised_leaves_the_replicas_to_serve_if_it_went_through_and_ends_them_if_not(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    write_scaler(tmp_path)
    monkeypatch.setattr(deployments, "publish", fails_once(deployments.publish, done=done))
    with pytest.raises(NotReady):
        await both[0].load("scaler")
    assert list(deployments.running) == [one.address for one in deployments.listed.values()]
    assert await until(lambda: ("scaler" in both[0]._added.entries) == done)
    await both[0].load("scaler")
    assert [await answer(server) for server in both] == [2, 2]


async def test_what_an_ingress_replica_left_is_not_ended_before_every_other_one_has_followed(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_s = 0.05
    monkeypatch.setattr(ending, "FOLLOW_S", follow_s)
    write_scaler(tmp_path)
    orphan, end, ended = await deployments.started("scaler"), deployments.end, asyncio.Event()

    async def noticed(deployed: Deployed) -> None:
        ended.set()
        await end(deployed)

    monkeypatch.setattr(deployments, "end", noticed)
    await asyncio.sleep(follow_s)  # it is idle
    began = time.monotonic()
    deployments.unowned = [orphan]
    await asyncio.wait_for(ended.wait(), 5)
    assert time.monotonic() - began >= 2 * follow_s


async def test_a_server_deployed_anew_with_the_folder_ends_what_was_loaded_before_once_no_ingress_of_before_serves_it(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler")
    deployments.all_new = False
    host = ModelHost(str(tmp_path), "scaler")
    await host.start()
    anew = new_ingress(deployments, {"scaler": UserEntry(host._config, host, 1)})
    await anew.start()
    for _ in range(20):
        await anew.index()
        assert [await answer(server) for server in both] == [2, 2]
    deployments.all_new = True
    assert await until(lambda: (deployments.running, deployments.listed) == ({}, {}))
    await anew.close()
    await host.close()


async def test_a_server_deployed_anew_with_an_ensemble_takes_it_from_the_list(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_scaler(tmp_path)
    write_twice(tmp_path)
    await both[0].load("scaler")
    await both[0].load("twice")
    anew = new_ingress(deployments, ensembles={"twice": ModelFolder(str(tmp_path), "twice").config()})
    await anew.start()
    assert await twice(anew) == 4
    assert await until(lambda: list(deployments.listed) == ["scaler"])
    await anew.close()

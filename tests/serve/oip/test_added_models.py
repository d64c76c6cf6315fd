"""Folders that come into the repository while two ingress replicas serve: loaded by one of them, answered by both."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from interest.errors import NotReady
from serve.oip.errors import InvalidInput, UnknownModel
from serve.oip.model_folders import NOT_LOADED
from tests.serve.oip.folders import CONFIG, SCALER, write_scaler, write_version
from tests.serve.oip.ingresses import Pair, answer, new_ingress, states
from tests.serve.oip.local_deployments import LocalDeployments


async def test_a_folder_that_comes_after_the_start_is_listed_then_loaded_by_one_and_served_by_both(
    both: Pair, tmp_path: Path
) -> None:
    first, second = both
    assert await states(first) == []
    with pytest.raises(UnknownModel, match="no folder of this name"):
        await first.load("scaler")
    write_scaler(tmp_path)
    assert await states(second) == [("1", "UNAVAILABLE", NOT_LOADED)]
    assert await second.index(ready=True) == []
    with pytest.raises(UnknownModel):
        await answer(first)
    await first.load("scaler")
    assert [await answer(server) for server in both] == [2, 2]
    assert [await states(server) for server in both] == [[("1", "READY", "")]] * 2
    assert (await second.model_metadata("scaler"))["versions"] == ["1"]
    assert (await second.statistics())["model_stats"][0]["name"] == "scaler"
    assert await second.is_ready("scaler")


async def test_later_versions_and_configs_are_loaded_as_those_of_any_model(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    first, second = both
    folder = write_scaler(tmp_path)
    await first.load("scaler")
    write_version(folder, "2", 3)
    await second.load("scaler")
    assert [await answer(server) for server in both] == [3, 3]
    write_version(folder, "3", 4, "raise RuntimeError('no weights')")
    with pytest.raises(InvalidInput, match="version 3: no weights"):
        await first.load("scaler")
    assert [await answer(server) for server in both] == [3, 3]
    assert list(deployments.running) == ["scaler-1"]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"speed": 1}, "", "speed"),
        ({"platform": "ensemble"}, "", "ensemble_scheduling has no step"),
        ({"version_policy": {"specific": {"versions": [7]}}}, "", r"leaves none of \['1'\]"),
        ({}, "raise RuntimeError('no weights')", "version 1: .*no weights"),
        ({"model_warmup": [{"inputs": {"z": CONFIG["model_warmup"][0]["inputs"]["x"]}}]}, "", "'z' is no input"),
    ],
)
async def test_a_bad_one_is_refused_with_its_reason_and_nothing_of_it_is_left(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, changes: dict[str, Any], code: str, message: str
) -> None:
    folder = write_scaler(tmp_path, **changes)
    if code:
        write_version(folder, "1", 2, code)
    with pytest.raises(InvalidInput, match=message):
        await both[0].load("scaler")
    assert (deployments.running, deployments.listed) == ({}, {})
    for server in both:
        ((version, state, reason),) = await states(server)
        assert (version, state, bool(reason)) == ("1", "UNAVAILABLE", True)
        with pytest.raises(UnknownModel):
            await answer(server)
    write_scaler(tmp_path)
    await both[1].load("scaler")
    assert await answer(both[0]) == 2


async def test_unloading_ends_its_replicas_and_it_can_be_loaded_again(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    first, second = both
    write_scaler(tmp_path)
    await first.load("scaler")
    assert await answer(second) == 2
    await second.unload("scaler")
    assert (deployments.running, deployments.listed) == ({}, {})
    for server in both:
        with pytest.raises(UnknownModel):
            await answer(server)
    with pytest.raises(UnknownModel):
        await first.unload("scaler")
    await first.load("scaler")
    assert [await answer(server) for server in both] == [2, 2]


async def test_an_ingress_replica_that_comes_back_knows_what_was_loaded(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler", {"config": json.dumps({"parameters": {"unit": {"string_value": "10"}}})})
    reborn = new_ingress(deployments)
    await reborn.start()
    assert await answer(reborn) == 20
    assert (await reborn.require("scaler")).parameters["unit"].string_value == "10"
    await reborn.close()


async def test_a_load_goes_on_when_its_caller_leaves_and_when_its_ingress_replica_ends(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start, asked, start = asyncio.Event(), asyncio.Event(), deployments.start

    async def waits(*arguments: Any) -> Any:
        asked.set()
        await may_start.wait()
        return await start(*arguments)

    monkeypatch.setattr(deployments, "start", waits)
    write_scaler(tmp_path)
    ending = new_ingress(deployments)
    await ending.start()
    leaving = asyncio.create_task(ending.load("scaler"))
    await asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    closing = asyncio.create_task(ending.close())
    may_start.set()
    await closing
    assert (await answer(both[1]), list(deployments.running)) == (2, ["scaler-1"])


async def test_a_load_of_what_is_being_loaded_waits_and_then_finds_it_loaded(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_scaler(tmp_path)
    await asyncio.gather(*(server.load("scaler") for server in both for _ in range(3)))
    assert (await answer(both[1]), list(deployments.running)) == (2, ["scaler-1"])


async def test_of_two_loads_at_once_whose_turn_got_lost_one_serves_and_the_other_leaves_nothing(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def everybody(model: str) -> bool:
        return True

    monkeypatch.setattr(deployments, "claim", everybody)
    write_scaler(tmp_path)
    ended = await asyncio.gather(*(server.load("scaler") for server in both), return_exceptions=True)
    refused = [error for error in ended if error is not None]
    assert [str(error) for error in refused] == [
        "failed to load 'scaler': it was loaded by another call at the same time"
    ]
    assert len(deployments.running) == 1
    assert [await answer(server) for server in both] == [2, 2]


async def test_what_was_accepted_before_it_is_unloaded_is_answered_and_what_comes_then_is_unknown(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    slow = "import time\n" + SCALER.replace("(self, tensors):", "(self, tensors):\n        time.sleep(0.01)")
    write_version(write_scaler(tmp_path, max_batch_size=1), "1", 2, slow)
    await both[0].load("scaler")
    accepted = [asyncio.create_task(answer(server)) for _ in range(8) for server in both]
    while not any(task.done() for task in accepted):
        await asyncio.sleep(0.001)
    unloading = asyncio.create_task(both[0].unload("scaler"))
    assert await asyncio.gather(*accepted) == [2] * 16
    await unloading
    assert deployments.running == {}
    for server in both:
        with pytest.raises(UnknownModel):
            await answer(server)


async def test_a_load_ends_as_it_ended_although_that_could_not_be_written_down(
    both: Pair, tmp_path: Path, deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*arguments: str) -> None:
        raise NotReady("the cluster does not answer")

    for method in ("failed", "changed"):
        monkeypatch.setattr(deployments, method, fails)
    write_version(write_scaler(tmp_path), "1", 2, "raise RuntimeError('no weights')")
    with pytest.raises(InvalidInput, match="no weights"):
        await both[0].load("scaler")
    write_version(tmp_path / "scaler", "1", 2)
    for _ in range(2):
        await both[0].load("scaler")
        assert [await answer(server) for server in both] == [2, 2]

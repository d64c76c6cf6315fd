"""Folders that come into the repository while two ingress replicas serve: loaded by one of them, answered by both."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interest.errors import DeadlineExceeded, NotReady
from serve.oip import added_models, entries, question
from serve.oip.added_models import AddedModels
from serve.oip.deployed import Deployed, NoDeployments
from serve.oip.entries import UserEntry
from serve.oip.errors import InvalidInput, UnknownModel
from serve.oip.hosted import HostState, ModelHost
from serve.oip.message import InferRequest
from serve.oip.model_folders import NOT_LOADED
from serve.oip.server import InferenceServer
from tests.serve.oip.folders import CONFIG, ONES, SCALER, write_config, write_scaler, write_twice, write_version
from tests.serve.oip.ingresses import Pair, answer, new_ingress
from tests.serve.oip.local_deployments import LocalDeployments


async def twice(server: InferenceServer) -> float:
    found = await server.infer(InferRequest(model="twice", inputs={"a": ONES["x"]}, datatypes={"a": "FP32"}))
    return float(found.outputs["c"][0, 0])


async def states(server: InferenceServer) -> list[tuple[str, str, str]]:
    return [(one["version"], one["state"], one["reason"]) for one in await server.index()]


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
    await asyncio.gather(*(both[0].load("scaler") for _ in range(3)))
    assert (await answer(both[1]), list(deployments.running)) == (2, ["scaler-1"])


async def test_of_loads_by_two_ingress_replicas_at_once_one_serves_and_the_other_leaves_nothing(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
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


@pytest.mark.parametrize("late", [True, False])
async def test_a_config_given_with_a_load_holds_until_the_next_load(
    tmp_path: Path, deployments: LocalDeployments, late: bool
) -> None:
    folder = write_scaler(tmp_path)
    host = ModelHost(str(tmp_path), "scaler")
    await host.start()
    server = new_ingress(deployments)
    if not late:
        server.add("scaler", UserEntry(host._config, host, 1))
    await server.start()
    write_version(folder, "2", 3)
    tens = {"parameters": {"unit": {"string_value": "10"}}, "version_policy": {"all": {}}}
    await server.load("scaler", {"config": json.dumps(tens)})
    assert [await answer(server, version) for version in ("", "1", "2")] == [30, 20, 30]
    assert (await server.require("scaler")).max_batch_size == 4, "what it leaves out comes from the file"
    assert (await server.require("scaler")).dynamic_batching is None, "or is not there"
    again = (await server.require("scaler")).to_json() | {"max_batch_size": 1}
    await server.load("scaler", {"config": json.dumps(again)})
    assert ((await server.require("scaler")).max_batch_size, await answer(server)) == (1, 30)
    await server.load("scaler")
    assert ((await server.require("scaler")).max_batch_size, await answer(server)) == (4, 3)
    await server.close()
    await host.close()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"config": "{"}, "parameter 'config': Expecting"),
        ({"config": "[]"}, "a JSON object is expected, not list"),
        ({"config": '{"speed": 1}'}, "parameter 'config': speed"),
        ({"config": '{"name": "other"}'}, "not that of its folder"),
        ({"config": '{"backend": "tensorflow"}'}, "backend 'tensorflow'"),
        ({"config": ""}, "a config as JSON in a string"),
        ({"config": {"max_batch_size": 1}}, "a config as JSON in a string"),
        ({"config": "{}", "file:1/model.onnx": b"x"}, "'file:1/model.onnx': files come from the model repository"),
        ({"speed": "1"}, "'speed' is not supported, only 'config' is"),
        (["config"], "not an object"),
    ],
)
async def test_what_load_cannot_take_is_refused_and_what_was_served_goes_on(
    both: Pair, tmp_path: Path, parameters: Any, message: str
) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler")
    with pytest.raises(InvalidInput, match=message):
        await both[0].load("scaler", parameters)
    assert await answer(both[1]) == 2


@pytest.mark.parametrize("file", ["/etc/model.py", "../../model.py", "..", "a/model.py", "..\\model.py"])
async def test_a_config_that_is_given_names_no_file_outside_the_version(both: Pair, tmp_path: Path, file: str) -> None:
    write_scaler(tmp_path)
    with pytest.raises(InvalidInput, match="default_model_filename"):
        await both[0].load("scaler", {"config": json.dumps({**CONFIG, "default_model_filename": file})})


async def test_a_model_without_a_config_file_is_loaded_with_one_that_is_given(both: Pair, tmp_path: Path) -> None:
    write_scaler(tmp_path)
    (tmp_path / "scaler" / "config.yaml").unlink()
    assert await states(both[0]) == []
    with pytest.raises(InvalidInput, match="no config file"):
        await both[0].load("scaler")
    await both[0].load("scaler", {"config": json.dumps(CONFIG)})
    assert await answer(both[1]) == 2


def steps(*models: tuple[str, str, str]) -> dict[str, Any]:
    """(model, what it takes, what it makes) of each."""
    return {
        "step": [
            {"model_name": model, "input_map": {"x": taken}, "output_map": {"y": made}} for model, taken, made in models
        ]
    }


async def test_an_ensemble_that_comes_after_the_start_is_served_changed_and_unloaded_by_all(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_scaler(tmp_path)
    write_twice(tmp_path)
    with pytest.raises(InvalidInput, match=r"ensemble 'twice', step 'scaler': .*'scaler' is not found"):
        await both[0].load("twice")
    assert {one["name"]: one["reason"] for one in await both[1].index()}["twice"].endswith("'scaler' is not found")
    await both[0].load("scaler")
    await both[1].load("twice")
    assert [await twice(server) for server in both] == [4, 4]
    assert {one["name"]: one["state"] for one in await both[0].index()} == {"scaler": "READY", "twice": "READY"}
    write_twice(tmp_path, ensemble_scheduling=steps(("scaler", "a", "c")))
    await both[0].load("twice")
    assert [await twice(server) for server in both] == [2, 2]
    reborn = new_ingress(deployments)
    await reborn.start()
    assert await twice(reborn) == 2
    await reborn.close()
    await both[0].unload("twice")
    for server in both:
        with pytest.raises(UnknownModel, match="'twice' is not found"):
            await twice(server)
    assert list(deployments.listed) == ["scaler"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([("nope", "a", "c")], "step 'nope': .*'nope' is not found"),
        ([("twice", "a", "c")], "step 'twice': an ensemble is no step of an ensemble, nor of itself"),
        ([("other", "a", "c")], "step 'other': an ensemble is no step of an ensemble, nor of itself"),
        ([("scaler", "b", "c"), ("scaler", "c", "b")], r"no step can give \['b', 'c'\] before it is needed"),
        ([("scaler", "a", "b")], "output 'c' is FP32, made: nothing"),
    ],
)
async def test_an_ensemble_that_does_not_fit_is_refused_and_the_one_of_before_answers(
    both: Pair, tmp_path: Path, made: list[tuple[str, str, str]], message: str
) -> None:
    write_scaler(tmp_path)
    write_twice(tmp_path)
    write_twice(tmp_path, name="other", ensemble_scheduling=steps(("scaler", "a", "c")))
    for name in ("scaler", "twice", "other"):
        await both[0].load(name)
    write_twice(tmp_path, ensemble_scheduling=steps(*made))
    for server in both:
        with pytest.raises(InvalidInput, match=message):
            await server.load("twice")
    assert [await twice(server) for server in both] == [4, 4]


async def test_what_is_served_becomes_no_ensemble_and_an_ensemble_no_model_until_it_is_unloaded(
    both: Pair, tmp_path: Path
) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler")
    write_twice(tmp_path, name="scaler")
    with pytest.raises(InvalidInput, match="does not become an ensemble"):
        await both[0].load("scaler")
    assert await answer(both[1]) == 2
    write_scaler(tmp_path)
    write_twice(tmp_path)
    await both[0].load("twice")
    write_scaler(tmp_path, name="twice")
    with pytest.raises(InvalidInput, match="unload it first"):
        await both[1].load("twice")
    assert await twice(both[0]) == 4


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

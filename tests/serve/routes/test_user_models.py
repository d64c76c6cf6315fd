"""A user's own models behind the protocol's routes, beside the stages, in one process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from serve.ingress import Ingress
from tests.conftest import Home, LocalServer
from tests.serve.oip.folders import write_config, write_scaler, write_twice, write_version


@pytest_asyncio.fixture
async def served(trained_home: Home, tmp_path: Path) -> AsyncIterator[LocalServer]:
    write_scaler(tmp_path, version_policy={"all": {}})
    write_twice(tmp_path)
    async with LocalServer(trained_home.config(user_models={"url": str(tmp_path)})) as running:
        await running.ingress._api.inference.start()
        yield running


def body(*values: float, **more: Any) -> dict[str, Any]:
    data = [value for value in values for _ in range(2)]
    return {"inputs": [{"name": "x", "shape": [len(values), 2], "datatype": "FP32", "data": data}], **more}


async def infer(server: LocalServer, *values: float, path: str = "scaler") -> tuple[int, Any]:
    answer = await server.client.post(f"/v2/models/{path}/infer", json=body(*values))
    if answer.status_code != 200:
        return answer.status_code, answer.json()["error"]
    found = answer.json()
    return int(found["model_version"]), found["outputs"][0]["data"]


async def change(server: LocalServer, what: str, **content: Any) -> tuple[int, str]:
    answer = await server.client.post(f"/v2/repository/models/scaler/{what}", json=content)
    return answer.status_code, answer.json()["error"] if answer.status_code != 200 else ""


async def index(server: LocalServer, **content: Any) -> list[tuple[str, str]]:
    found = (await server.client.post("/v2/repository/index", json=content)).json()
    return [(one["version"], one["state"]) for one in found if one["name"] == "scaler"]


async def test_a_folder_is_a_model_with_metadata_config_and_statistics(served: LocalServer) -> None:
    assert await infer(served, 1.0, 3.0) == (1, [2.0, 2.0, 6.0, 6.0])
    about = (await served.client.get("/v2/models/scaler")).json()
    assert (about["versions"], about["inputs"][0]["shape"]) == (["1"], [-1, 2])
    assert (await served.client.get("/v2/models/scaler/config")).json()["version_policy"] == {"all": {}}
    (counted,) = (await served.client.get("/v2/models/scaler/stats")).json()["model_stats"]
    assert (counted["version"], counted["inference_count"] >= 2) == ("1", True)


async def test_versions_come_side_by_side_and_a_bad_one_is_refused(served: LocalServer, tmp_path: Path) -> None:
    write_version(tmp_path / "scaler", "2", 3)
    assert await change(served, "load") == (200, "")
    assert await infer(served, 1.0) == (2, [3.0, 3.0])
    assert await infer(served, 1.0, path="scaler/versions/1") == (1, [2.0, 2.0])
    write_version(tmp_path / "scaler", "3", 3, "raise RuntimeError('no weights')")
    status, error = await change(served, "load")
    assert (status, "failed to load 'scaler' version 3: no weights" in error) == (400, True)
    assert await infer(served, 1.0) == (2, [3.0, 3.0])
    assert await index(served) == [("1", "READY"), ("2", "READY"), ("3", "UNAVAILABLE")]
    assert await index(served, ready=True) == [("1", "READY"), ("2", "READY")]
    assert (await infer(served, 1.0, path="scaler/versions/3"))[0] == 404


async def test_an_unloaded_model_is_unknown_until_it_is_loaded_again(served: LocalServer) -> None:
    assert await change(served, "unload") == (200, "")
    assert await infer(served, 1.0) == (404, "Request for unknown model: 'scaler' is not found")
    assert (await served.client.get("/v2/models/scaler/ready")).status_code == 400
    assert await index(served) == [("1", "UNAVAILABLE")]
    assert await change(served, "load") == (200, "")
    assert await infer(served, 1.0) == (1, [2.0, 2.0])


async def test_what_load_cannot_do_is_said(served: LocalServer, tmp_path: Path) -> None:
    status, error = await change(served, "load", parameters={"config": "{"})
    assert (status, "parameter 'config'" in error) == (400, True)
    write_config(tmp_path / "scaler", speed=1)
    status, error = await change(served, "load")
    assert (status, "speed" in error) == (400, True)
    write_scaler(tmp_path, name="late")
    answer = await served.client.post("/v2/repository/models/late/load", json={})
    assert (answer.status_code, "starts no deployments" in answer.json()["error"]) == (400, True)
    answer = await served.client.post("/v2/repository/models/nope/load", json={})
    assert (answer.status_code, "no folder of this name" in answer.json()["error"]) == (404, True)
    answer = await served.client.post("/v2/repository/models/encoder/load", json={"parameters": {"config": "{}"}})
    assert (answer.status_code, "its config is the server's" in answer.json()["error"]) == (400, True)


async def test_a_poisoned_row_fails_alone_and_a_changed_config_holds_from_the_load_on(
    served: LocalServer, tmp_path: Path
) -> None:
    good, bad, other = await asyncio.gather(*(infer(served, value) for value in (1.0, -1.0, 2.0)))
    assert (good, other) == ((1, [2.0, 2.0]), (1, [4.0, 4.0]))
    assert bad == (500, "scaler: ValueError: negative")
    write_config(tmp_path / "scaler", max_batch_size=1, parameters={"unit": {"string_value": "10"}})
    assert (await infer(served, 1.0, 1.0))[0] == 1
    assert await change(served, "load") == (200, "")
    assert await infer(served, 1.0) == (1, [20.0, 20.0])
    status, error = await infer(served, 1.0, 1.0)
    assert (status, "batch-size must be <= 1" in error) == (400, True)


async def test_an_ensemble_passes_through_the_queue_of_its_steps(served: LocalServer) -> None:
    asked = body(1.0)
    asked["inputs"][0]["name"] = "a"

    async def counted() -> int:
        (found,) = (await served.client.get("/v2/models/scaler/stats")).json()["model_stats"]
        return int(found["inference_stats"]["success"]["count"])

    before = await counted()
    answers = await asyncio.gather(*(served.client.post("/v2/models/twice/infer", json=asked) for _ in range(8)))
    assert [answer.json()["outputs"][0]["data"] for answer in answers] == [[4.0, 4.0]] * 8
    assert await counted() - before == 16


async def test_no_request_fails_while_versions_are_swapped(served: LocalServer, tmp_path: Path) -> None:
    swaps = 10
    write_config(tmp_path / "scaler")
    stop = asyncio.Event()

    async def asking() -> list[tuple[int, Any]]:
        found = []
        while not stop.is_set():
            found.append(await infer(served, 1.0))
        return found

    callers = [asyncio.create_task(asking()) for _ in range(4)]
    for version in range(2, 2 + swaps):
        write_version(tmp_path / "scaler", str(version), version)
        assert await change(served, "load") == (200, "")
    stop.set()
    answers = [answer for caller in await asyncio.gather(*callers) for answer in caller]
    assert all(data == [float(max(version, 2))] * 2 for version, data in answers)
    assert await index(served, ready=True) == [(str(1 + swaps), "READY")]


async def test_an_ingress_replica_that_comes_back_takes_no_folder_for_its_own_that_came_meanwhile(
    served: LocalServer, tmp_path: Path
) -> None:
    write_scaler(tmp_path, name="late")
    write_config(tmp_path / "bad", speed=1)
    old = served.ingress
    reborn = Ingress(served.config, old._stages, old._streaming, old._own)
    await reborn._api.inference.start()
    states = {one["name"]: one["state"] for one in await reborn._api.inference.index()}
    assert (states["scaler"], states["twice"]) == ("READY", "READY")
    assert (states["late"], states["bad"]) == ("UNAVAILABLE", "UNAVAILABLE")
    await reborn.close()

"""Ensembles that come into the repository while two ingress replicas serve."""

from pathlib import Path
from typing import Any

import pytest

from serve.oip.errors import InvalidInput, UnknownModel
from serve.oip.message import InferRequest
from serve.oip.server import InferenceServer
from tests.serve.oip.folders import ONES, write_scaler, write_twice
from tests.serve.oip.ingresses import Pair, answer, new_ingress
from tests.serve.oip.local_deployments import LocalDeployments


async def twice(server: InferenceServer) -> float:
    found = await server.infer(InferRequest(model="twice", inputs={"a": ONES["x"]}, datatypes={"a": "FP32"}))
    return float(found.outputs["c"][0, 0])


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

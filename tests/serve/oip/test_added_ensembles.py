"""Ensembles that come into the repository while two ingress replicas serve."""

import asyncio
from pathlib import Path

import pytest

from serve.oip.errors import InvalidInput, UnknownModel
from tests.serve.oip.folders import ensemble_step, steps, write_scaler, write_twice
from tests.serve.oip.ingresses import Pair, answer, new_ingress, twice
from tests.serve.oip.local_deployments import LocalDeployments


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
        ([("twice", "a", "c")], "ensemble 'twice': it is made of itself"),
        ([("other", "a", "c")], "step 'other': input_map: the model has no input 'x'"),
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


async def test_ensembles_are_made_of_ensembles_and_none_of_itself(
    both: Pair, tmp_path: Path, deployments: LocalDeployments
) -> None:
    write_scaler(tmp_path)
    write_twice(tmp_path)
    four = {"step": [ensemble_step("twice", "a", "b"), ensemble_step("twice", "b", "c")]}
    write_twice(tmp_path, name="four", ensemble_scheduling=four)
    for name in ("scaler", "twice", "four"):
        await both[0].load(name)
    assert [await twice(server, "four") for server in both] == [16, 16]
    write_twice(tmp_path, ensemble_scheduling={"step": [ensemble_step("four", "a", "c")]})
    for server in both:
        with pytest.raises(InvalidInput, match="ensemble 'twice': it is made of itself"):
            await server.load("twice")
    assert [await twice(server, "four") for server in both] == [16, 16]


async def test_of_two_ensembles_that_come_to_be_made_of_each_other_at_once_one_is_refused(
    both: Pair, tmp_path: Path
) -> None:
    write_scaler(tmp_path)
    for name in ("one", "other"):
        write_twice(tmp_path, name=name)
    for name in ("scaler", "one", "other"):
        await both[0].load(name)
    for name, inner in (("one", "other"), ("other", "one")):
        write_twice(tmp_path, name=name, ensemble_scheduling={"step": [ensemble_step(inner, "a", "c")]})
    ended = await asyncio.gather(both[0].load("one"), both[1].load("other"), return_exceptions=True)
    assert sorted(str(type(one).__name__) for one in ended) == ["InvalidInput", "NoneType"], ended
    assert [await twice(server, name) for server in both for name in ("one", "other")] == [4] * 4


async def test_every_version_that_a_step_names_must_be_served(both: Pair, tmp_path: Path) -> None:
    write_scaler(tmp_path)
    await both[0].load("scaler")
    made = steps(("scaler", "a", "b"), ("scaler", "b", "c"))
    made["step"][0]["model_version"] = 7
    write_twice(tmp_path, ensemble_scheduling=made)
    with pytest.raises(InvalidInput, match=r"step 'scaler': .*'scaler' version 7 is not found"):
        await both[0].load("twice")

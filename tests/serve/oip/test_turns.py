"""Loads and unloads of one model that are asked of two ingress replicas at the same moment."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from interest.errors import NotReady
from serve.oip import turns
from serve.oip.entries import UserEntry
from serve.oip.errors import InvalidInput
from serve.oip.hosted import ModelHost
from serve.oip.turns import Turns
from tests.serve.oip.folders import SCALER, write_scaler, write_version
from tests.serve.oip.ingresses import Pair, answer, new_ingress
from tests.serve.oip.local_deployments import LocalDeployments

SLOW = "import time\n\ntime.sleep(0.3)\n" + SCALER
BAD = {"config": json.dumps({"parameters": {"unit": {"string_value": "ten"}}})}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.01)


@pytest_asyncio.fixture(params=["came later", "of the start"])
async def scaling(both: Pair, tmp_path: Path, request: Any, deployments: LocalDeployments) -> AsyncIterator[Pair]:
    """Two ingress replicas that serve "scaler" in version 1."""
    write_scaler(tmp_path)
    if request.param == "came later":
        await both[0].load("scaler")
        yield both
        return
    host = ModelHost(str(tmp_path), "scaler")
    await host.start()
    first, second = (new_ingress(deployments, {"scaler": UserEntry(host._config, host, 1)}) for _ in range(2))
    for server in (first, second):
        await server.start()
    yield first, second
    for server in (first, second):
        await server.close()
    await host.close()


async def test_a_bad_load_takes_nothing_from_a_good_one(scaling: Pair, tmp_path: Path) -> None:
    write_version(tmp_path / "scaler", "2", 3, SLOW)
    good = asyncio.create_task(scaling[0].load("scaler"))
    await asyncio.sleep(0.1)  # it is loading
    bad = asyncio.create_task(scaling[1].load("scaler", BAD))
    first, second = await asyncio.gather(good, bad, return_exceptions=True)
    assert (first, type(second)) == (None, InvalidInput)
    assert [await answer(server) for server in scaling] == [3, 3], "what was said to be loaded is served"


async def test_a_load_and_an_unload_come_one_after_the_other(scaling: Pair, tmp_path: Path) -> None:
    write_version(tmp_path / "scaler", "2", 3, SLOW)
    loading = asyncio.create_task(scaling[0].load("scaler"))
    await asyncio.sleep(0.1)
    await scaling[1].unload("scaler")
    assert loading.done()
    await loading
    for server in scaling:
        assert not any(one["state"] == "READY" for one in await server.index())


async def test_a_load_goes_on_when_its_caller_leaves(scaling: Pair, tmp_path: Path) -> None:
    write_version(tmp_path / "scaler", "2", 3, SLOW)
    leaving = asyncio.create_task(scaling[0].load("scaler"))
    await asyncio.sleep(0.1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await scaling[1].load("scaler")
    assert [await answer(server) for server in scaling] == [3, 3]


async def test_a_turn_is_given_back_whatever_the_cluster_says(
    deployments: LocalDeployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = deployments.claim

    async def goes_through_and_fails(model: str) -> bool:
        await claim(model)
        raise NotReady("the cluster does not answer")

    here = Turns(deployments)
    with monkeypatch.context() as patched:
        patched.setattr(deployments, "claim", goes_through_and_fails)
        with pytest.raises(NotReady):
            async with here.of("scaler"):
                pytest.fail("nobody knows whose turn it is")
    await here.give_back()
    async with asyncio.timeout(5), Turns(deployments).of("scaler"), here.of("another"):
        pass


async def test_turns_that_are_held_are_not_given_back_before_their_time(deployments: LocalDeployments) -> None:
    here = Turns(deployments)
    async with here.of("scaler"):
        here._doubtful.add("scaler")
        await here.give_back()
        assert not await deployments.claim("scaler")
    assert await deployments.claim("scaler")

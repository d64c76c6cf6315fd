"""KServe's own clients, which speak the same protocol, on the real cluster.

make test-peers
"""

import asyncio
import json
from asyncio.subprocess import PIPE
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from benchmarks.peers.environments import KSERVE, ROOT, installed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not installed(KSERVE), reason=f"no kserve in {ROOT}: `make test-peers` installs it"),
]
SCRIPT = "tests/peers/kserve_client.py"


@pytest.fixture(scope="module")
def user(cluster: Any) -> str:
    return str(cluster.home.world.events[-1].user_id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def understood(cluster: Any, user: str) -> dict[str, Any]:
    """What the clients understood, by how they asked."""
    python = (ROOT / KSERVE.name).resolve() / "bin/python"
    arguments = (str(python), SCRIPT, cluster.url, cluster.grpc, user)
    client = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=PIPE)
    said, complained = await client.communicate()
    assert client.returncode == 0, complained.decode()
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


async def test_kserves_clients_find_server_and_models(understood: dict[str, Any]) -> None:
    for found in understood.values():
        assert (found["live"], found["ready"], found["model_ready"]) == (True, True, True)
    assert understood["http"]["unknown_ready"] is False


async def test_texts_are_encoded_alike_however_kserve_asks(understood: dict[str, Any]) -> None:
    ways = [understood["http"]["json"], understood["http"]["binary"], understood["grpc"]["binary"]]
    for found in ways:
        assert (found["id"], found["model"]) == ("of-kserve", "encoder")
        assert np.linalg.norm(found["embedding"], axis=1) == pytest.approx(1.0, abs=1e-4)
        assert np.allclose(found["embedding"], ways[0]["embedding"], atol=1e-6)
        assert found["tokens"] == ways[0]["tokens"]


async def test_kserve_reads_the_list_that_the_native_route_gives(
    cluster: Any, user: str, understood: dict[str, Any]
) -> None:
    native = cluster.client().post("/v1/recommendations", json={"user_id": user}).json()
    ids = [item["item_id"] for item in native["data"]]
    for found in understood.values():
        assert found["recommend"]["item_id"] == [ids]
        assert found["recommend"]["item_length"] == [[len(ids)]]
        assert found["recommend"]["tier"] == [["full"]]


async def test_kserve_hears_what_is_wrong(understood: dict[str, Any]) -> None:
    (status, over_http), (code, over_grpc) = understood["http"]["unknown"], understood["grpc"]["unknown"]
    assert (status, code) == (404, "NOT_FOUND")
    assert "'nope' is not found" in over_http
    assert "'nope' is not found" in over_grpc

"""THE request: diversity, calibration and exploration asked over HTTP, and what of them is logged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from interest.store.open import open_reader
from ranking.exploration import explored, seed_of
from serve.ranker import Exploration
from serve.schema import RecommendationRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")

EPSILON, TAIL_START, DEPTH = 0.5, 2, 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exploring(home: Any, module_server: Any) -> AsyncIterator[Any]:
    """A server that explores, over the same home as `server`, which does not."""
    settings = {"enabled": True, "epsilon": EPSILON, "tail_start": TAIL_START, "depth": DEPTH}
    async with type(module_server)(home.config(exploration=settings)) as running:
        yield running


async def ask(server: Any, **body: Any) -> dict[str, Any]:
    answer = await server.client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    assert reply["tier"] == "full"
    return reply


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in reply["data"]]


@pytest.fixture
def user(home: Any) -> str:
    return str(min(event.user_id for event in home.world.events))


async def test_diversity_and_calibration_change_the_list_and_nought_does_not(server: Any, user: str) -> None:
    plain = await ask(server, user_id=user, count=10)
    assert ids(await ask(server, user_id=user, count=10, diversity=0, calibration=0)) == ids(plain)
    assert ids(await ask(server, user_id=user, count=10, diversity=0.9)) != ids(plain)
    assert ids(await ask(server, user_id=user, count=10, calibration=1)) != ids(plain)
    assert {item["propensity"] for item in plain["data"]} == {1.0}


@pytest.mark.parametrize("wish", ["diversity", "calibration"])
@pytest.mark.parametrize("value", [-0.1, 1.1])
async def test_a_wish_outside_nought_to_one_is_named(server: Any, user: str, wish: str, value: float) -> None:
    answer = await server.client.post("/v1/recommendations", json={"user_id": user, wish: value})
    assert answer.status_code == 422
    assert wish in answer.json()["error"]["param"]


async def test_the_reply_s_id_gives_the_explored_list_again(exploring: Any, server: Any, user: str) -> None:
    best = ids(await ask(server, user_id=user, count=50, diversity=0.0))
    reply = await ask(exploring, user_id=user, count=10)
    rng = np.random.default_rng(seed_of(reply["id"]))
    shown, propensity = explored(range(50), range(DEPTH), 10, EPSILON, TAIL_START, rng)
    assert ids(reply) == [best[place] for place in shown]
    assert [item["propensity"] for item in reply["data"]] == propensity.tolist()


async def test_the_log_holds_the_propensity_of_the_reply(exploring: Any, home: Any, user: str) -> None:
    reply = await ask(exploring, user_id=user, count=10, diversity=0.5)
    assert min(item["propensity"] for item in reply["data"]) < 1.0
    with closing(open_reader(home.store_url)) as reader:
        async with asyncio.timeout(10):
            while not (logged := reader.impressions_of(reply["id"])):
                await asyncio.sleep(0.02)
    assert [(shown.item_id, shown.propensity) for shown in logged] == [
        (item["item_id"], item["propensity"]) for item in reply["data"]
    ]


async def test_an_evaluation_never_explores(exploring: Any, server: Any, home: Any, user: str) -> None:
    for _ in range(5):
        asked = {"user_id": user, "count": 20, "as_of": home.world.end}
        reply = await ask(exploring, **asked)
        assert ids(reply) == ids(await ask(server, **asked))
        assert {item["propensity"] for item in reply["data"]} == {1.0}


async def test_requests_of_one_user_explore_apart(exploring: Any, user: str) -> None:
    lists = [ids(await ask(exploring, user_id=user, count=10)) for _ in range(6)]
    assert len({tuple(one) for one in lists}) > 1
    assert len({tuple(one[:TAIL_START]) for one in lists}) == 1


async def test_each_query_of_a_batch_draws_with_its_own_seed(exploring: Any, home: Any, user: str) -> None:
    pipeline = exploring.ingress._api.pipeline

    query = pipeline._query(RecommendationRequest(user_id=user, count=10), pipeline._catalogue.view())
    seeds = [1, 2, 1]
    queries = [replace(query, exploration=Exploration(1.0, 0, DEPTH, seed)) for seed in seeds]
    first, second, third = await pipeline._ranker.rank_batch(queries)
    np.testing.assert_array_equal(first.item_keys, third.item_keys)
    assert (first.item_keys != second.item_keys).any()

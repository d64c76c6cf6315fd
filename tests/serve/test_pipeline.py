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
from serve.admission import Deadline
from serve.ranker import Exploration, Query, Ranking
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shallow(home: Any, module_server: Any) -> AsyncIterator[Any]:
    """A server that ranks no deeper than it shows."""
    async with type(module_server)(home.config(paging={"depth": 0})) as running:
        yield running


async def whole(server: Any, reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of this page and of all that follow it."""
    items = [*reply["data"]]
    while "next" in reply:
        reply = (await server.client.get(reply["next"])).json()
        items += reply["data"]
    return items


async def logged_of(home: Any, recommendation_id: str, count: int) -> list[tuple[str, float]]:
    """What the log holds of it, once there are so many places: item and propensity."""
    with closing(open_reader(home.store_url)) as reader:
        async with asyncio.timeout(10):
            while len(logged := reader.impressions_of(recommendation_id)) < count:
                await asyncio.sleep(0.02)
    return [(shown.item_id, shown.propensity) for shown in logged]


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
    assert await logged_of(home, reply["id"], 10) == [(item["item_id"], item["propensity"]) for item in reply["data"]]


async def test_the_pages_of_an_explored_list_repeat_nothing_and_log_what_was_drawn(
    exploring: Any, server: Any, home: Any, user: str
) -> None:
    best = [item["item_id"] for item in await whole(server, await ask(server, user_id=user, count=10))]
    reply = await ask(exploring, user_id=user, count=6)
    pages = await whole(exploring, reply)
    rng = np.random.default_rng(seed_of(reply["id"]))
    shown, propensity = explored(range(len(best)), range(DEPTH), len(best), EPSILON, TAIL_START, rng)
    assert [item["item_id"] for item in pages] == [best[place] for place in shown]
    assert len({item["item_id"] for item in pages}) == len(pages) == len(best)
    assert [item["propensity"] for item in pages] == propensity.tolist()
    assert (propensity[6 : DEPTH - 1] < 1.0).all()  # on later pages, as far as draws reach
    assert await logged_of(home, reply["id"], len(pages)) == [(item["item_id"], item["propensity"]) for item in pages]


async def test_what_a_draw_took_from_a_later_page_does_not_come_again_there(exploring: Any, user: str) -> None:
    pipeline = exploring.ingress._api.pipeline
    query = pipeline._queries.recommendation(RecommendationRequest(user_id=user), pipeline._catalogue.view())
    every = [replace(query, exploration=Exploration(EPSILON, TAIL_START, DEPTH, seed)) for seed in range(20)]
    plain = (await pipeline._ranker.rank_batch([replace(query, exploration=None)]))[0].item_keys.tolist()
    early = 0
    for ranking in await pipeline._ranker.rank_batch(every):
        keys = ranking.item_keys.tolist()
        assert sorted(keys) == sorted(plain)
        early += len(set(keys[:6]) - set(plain[:6]))
    assert early > 20


@pytest.mark.parametrize("wish", [{"diversity": 0.7}, {"calibration": 0.6}, {"diversity": 0.3, "calibration": 0.3}])
async def test_the_first_page_of_a_deep_ranking_is_the_list_that_was_asked_for(
    server: Any, shallow: Any, user: str, wish: dict[str, float]
) -> None:
    plain = ids(await ask(shallow, user_id=user, count=40))
    for count in (3, 10, 40):
        deep, asked = [await ask(one, user_id=user, count=count, **wish) for one in (server, shallow)]
        assert ("next" in deep, "next" in asked) == (True, False)
        assert deep["data"] == asked["data"]
        assert count == 3 or ids(asked) != plain[:count]  # the head of a list may stay


async def test_the_explored_first_page_of_a_deep_ranking_is_that_of_a_shallow_one(exploring: Any, user: str) -> None:
    pipeline = exploring.ingress._api.pipeline
    request = RecommendationRequest(user_id=user, diversity=0.5)
    deep = pipeline._queries.recommendation(request, pipeline._catalogue.view())
    assert deep.count > request.count == 10
    found, asked = await pipeline._ranker.rank_batch([deep, replace(deep, count=10)])
    np.testing.assert_array_equal(found.item_keys[:10], asked.item_keys)
    np.testing.assert_array_equal(found.propensity[:10], asked.propensity)
    assert asked.propensity.min() < 1.0


async def test_what_is_not_logged_never_explores(exploring: Any, server: Any, home: Any, user: str) -> None:
    item_ids = [item.item_id for item in home.world.items[:30]]
    history = [{"item_id": item_ids[0], "type": "like"}]
    for path, body in (
        ("/v1/recommendations", {"history": history, "count": 20}),
        ("/v1/rank", {"user_id": user, "item_ids": item_ids}),
    ):
        for _ in range(5):
            reply, greedy = [(await one.client.post(path, json=body)).json() for one in (exploring, server)]
            assert reply["data"] == greedy["data"]
            assert {item["propensity"] for item in reply["data"]} == {1.0}


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_comes_as_the_ranking_does_is_not_lost(
    server: Any, user: str, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, ranked = server.ingress._api.pipeline, asyncio.Event()
    ready: Ranking = await pipeline._ranker.rank(pipeline._queries.user_alone(user, 1))

    async def rank(query: Query) -> Ranking:
        await ranked.wait()
        return ready

    monkeypatch.setattr(pipeline._ranker, "rank", rank)
    asking = asyncio.create_task(pipeline._rank(pipeline._queries.user_alone(user, 1), False, Deadline(5.0)))
    await asyncio.sleep(0.01)
    ranked.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    heard = asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled() == heard


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
    query = pipeline._queries.recommendation(RecommendationRequest(user_id=user), pipeline._catalogue.view())
    seeds = [1, 2, 1]
    queries = [replace(query, exploration=Exploration(1.0, 0, DEPTH, seed)) for seed in seeds]
    first, second, third = await pipeline._ranker.rank_batch(queries)
    np.testing.assert_array_equal(first.item_keys, third.item_keys)
    assert (first.item_keys != second.item_keys).any()


async def test_a_batch_without_texts_shows_and_logs_what_requests_of_their_own_do(
    exploring: Any, home: Any, user: str
) -> None:
    pipeline = exploring.ingress._api.pipeline
    asked = [RecommendationRequest(user_id=user, count=count) for count in (6, 3)]
    for one, request in zip(await pipeline.choose_all(asked), asked, strict=True):
        page = [(item.item_id, float(p)) for item, p in zip(one.items, one.served.ranking.propensity, strict=False)]
        assert len(page) == request.count
        assert await logged_of(home, one.reply_id, request.count) == page
        query = {"count": 4, "after": request.count}
        following = await exploring.client.get(f"/v1/recommendations/{one.reply_id}/next", params=query)
        keys = one.served.ranking.item_keys[request.count : request.count + 4]
        view = pipeline._catalogue.view()
        assert ids(following.json()) == [view.ids[row] for row in view.rows(keys)]


async def test_a_batch_whose_items_are_not_all_there_leaves_them_out(
    server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, asked = server.ingress._api.pipeline, [RecommendationRequest(user_id=user, count=5)] * 2
    (known, _) = await pipeline.choose_all(asked)
    view = pipeline._catalogue.view()
    available = view.available.copy()
    available[view.row_of_id(known.items[1].item_id)] = False
    monkeypatch.setattr(pipeline._catalogue, "_view", replace(view, available=available))
    for one in await pipeline.choose_all(asked):
        assert [item.item_id for item in one.items][:4] == [known.items[place].item_id for place in (0, 2, 3, 4)]


async def test_a_batch_whose_stage_fails_is_answered_by_popularity(
    server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(tensors: Any) -> Any:
        raise OverflowError

    pipeline = server.ingress._api.pipeline
    monkeypatch.setitem(pipeline._ranker._stages, "retriever", broken)
    for one in await pipeline.choose_all([RecommendationRequest(user_id=user, count=5)] * 2):
        assert (one.served.tier, one.served.degraded, len(one.items)) == ("popular", ("retriever",), 5)

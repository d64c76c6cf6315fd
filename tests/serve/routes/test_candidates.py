"""`generate.candidates`: several texts an item, of which the best is shown with its score, which enters the order."""

import asyncio
import json
from contextlib import closing
from typing import Any

import pytest

from interest.errors import AttuneError
from interest.store.open import open_reader
from serve.generation.choosing import COVERAGE, GROUNDED, SIMILARITY
from tests.serve.routes.calls import error_of, get, ids, post, until_ready

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEIGHTS = {"similarity": SIMILARITY, "coverage": COVERAGE, "grounded": GROUNDED}


@pytest.fixture
def user(home: Any) -> str:
    return str(home.world.events[-1].user_id)


async def recommend(server: Any, user: str, **body: Any) -> dict[str, Any]:
    return await post(server, "/v1/recommendations", user_id=user, include=["scores"], **body)


async def test_so_many_texts_are_written_for_each_item_in_plans_of_their_own_and_all_are_paid_for(
    server: Any, user: str
) -> None:
    await until_ready(server)
    server.engine.asked.clear()
    reply = await recommend(server, user, count=5, generate={"candidates": 3})
    asked = [(task.item.title, task.variant) for task in server.engine.asked]
    assert len(asked) == len(set(asked)) == 15
    assert {variant for _, variant in asked} == {0, 1, 2}
    assert reply["usage"] == {"prompt_tokens": 150, "completion_tokens": 75}
    for item in reply["data"]:
        shown = item["generated"]
        assert set(shown["score_parts"]) == set(WEIGHTS)
        assert shown["score"] == pytest.approx(sum(WEIGHTS[name] * part for name, part in shown["score_parts"].items()))


async def test_the_best_of_more_candidates_is_at_least_as_good(server: Any, user: str) -> None:
    scores = {}
    for candidates in (1, 4, 8):
        reply = await recommend(server, user, count=10, generate={"candidates": candidates})
        scores[candidates] = {item["item_id"]: item["generated"]["score"] for item in reply["data"]}
    assert scores[1].keys() == scores[4].keys() == scores[8].keys()
    assert all(scores[1][item] <= scores[4][item] <= scores[8][item] for item in scores[1])
    assert sum(scores[8].values()) > sum(scores[1].values())


async def test_the_same_items_come_in_the_order_of_score_and_text_and_pages_go_on_behind_them(
    server: Any, user: str
) -> None:
    plain = await recommend(server, user, count=10)
    texted = await recommend(server, user, count=10, generate={"candidates": 2})
    assert sorted(ids(texted)) == sorted(ids(plain))
    scores = [item["score"] for item in texted["data"]]
    assert scores == sorted(scores, reverse=True)
    assert [item["rank"] for item in texted["data"]] == list(range(1, 11))
    before = {item["item_id"]: item["score"] for item in plain["data"]}
    weight = server.config.generation.text_score_weight
    mean = sum(item["generated"]["score"] for item in texted["data"]) / 10
    for item in texted["data"]:
        added = weight * (item["generated"]["score"] - mean)
        assert item["score_parts"]["text"] == pytest.approx(added, abs=1e-6)
        assert item["score"] == pytest.approx(before[item["item_id"]] + added, abs=1e-5)
    page = await get(server, texted["next"])
    assert ids(page) == ids(await get(server, plain["next"]))
    assert all("score" in item["generated"] for item in page["data"])
    assert page["data"] == (await get(server, texted["next"]))["data"]


async def test_a_heavy_weight_moves_items_and_the_log_holds_the_order_that_was_shown(
    server: Any, user: str, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = server.ingress._api.pipeline
    generation = pipeline._config.generation.model_copy(update={"text_score_weight": 50.0})
    monkeypatch.setattr(pipeline, "_config", pipeline._config.model_copy(update={"generation": generation}))
    reply = await recommend(server, user, count=10, generate={"candidates": 2})
    texts = [item["generated"]["score"] for item in reply["data"]]
    assert ids(reply) != ids(await recommend(server, user, count=10))
    assert texts == pytest.approx(sorted(texts, reverse=True), abs=0.2)
    with closing(open_reader(home.store_url)) as reader:
        async with asyncio.timeout(10):
            while len(logged := reader.impressions_of(reply["id"])) < 10:
                await asyncio.sleep(0.02)
    assert [(one.item_id, one.text) for one in logged] == [
        (item["item_id"], item["generated"]["text"]) for item in reply["data"]
    ]


async def test_without_candidates_nothing_is_scored(server: Any, user: str) -> None:
    reply = await recommend(server, user, count=3, generate={})
    assert all("score" not in item["generated"] and "text" not in item["score_parts"] for item in reply["data"])


@pytest.mark.parametrize("stage", ["encoder", "generator"])
async def test_a_failing_stage_costs_its_part(server: Any, user: str, stage: str) -> None:
    server.broken[stage] = AttuneError("out of order")
    reply = await recommend(server, user, count=3, generate={"candidates": 2})
    if stage == "encoder":
        assert (reply["tier"], reply["degraded"]) == ("full", [])
        assert all(item["generated"]["score_parts"]["similarity"] == 0.0 for item in reply["data"])
    else:
        assert (reply["tier"], reply["degraded"]) == ("no_generation", ["generation"])


async def test_a_stream_tells_chosen_texts_whole_and_then_the_order(server: Any, user: str) -> None:
    body = {"user_id": user, "count": 5, "generate": {"candidates": 2}}
    whole = await post(server, "/v1/recommendations", **body)
    told = (await server.client.post("/v1/recommendations", json={**body, "stream": True})).text
    events = [block.split("\ndata: ") for block in told.strip().split("\n\n")]
    names = [name.removeprefix("event: ") for name, _ in events]
    assert names.count("item.done") == 5
    assert "token" not in names
    said = {name: json.loads(data) for (_, data), name in zip(events, names, strict=True)}
    assert said["ranking"]["item_ids"] == ids(whole)
    assert said["done"]["data"] == whole["data"]


async def test_generations_keep_the_caller_s_order(server: Any, user: str, home: Any) -> None:
    wanted = [item.item_id for item in home.world.items[:6]]
    reply = await post(server, "/v1/generations", user_id=user, item_ids=wanted, generate={"candidates": 2})
    assert ids(reply) == wanted
    assert all(0.0 <= item["score"] <= 1.0 for item in reply["data"])


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/generations"])
async def test_more_texts_than_a_request_may_have_are_refused(server: Any, user: str, path: str, home: Any) -> None:
    wanted = {"item_ids": [item.item_id for item in home.world.items[:100]]}
    many = {"count": 100} if path == "/v1/recommendations" else wanted
    answer = await server.client.post(path, json={"user_id": user, "generate": {"candidates": 8}, **many})
    assert (answer.status_code, error_of(answer)["param"]) == (422, "generate.candidates")
    for candidates in (-1, 9):
        answer = await server.client.post(path, json={"user_id": user, "generate": {"candidates": candidates}, **many})
        assert answer.status_code == 422

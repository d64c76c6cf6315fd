"""Recommendations and generations as server-sent events: their order, their truth, what is logged, how they end."""

import asyncio
import json
from contextlib import closing
from typing import Any

import httpx
import pytest

from interest.errors import AttuneError
from interest.store.open import open_reader
from serve.config import GenerationConfig
from serve.generation.templates import template_text
from serve.metrics import TIERS
from tests.serve.routes.calls import RECOMMEND, Leaver

pytestmark = pytest.mark.asyncio(loop_scope="module")

GENERATE = "/v1/generations"
Told = list[tuple[str, dict[str, Any]]]


def events_of(answer: httpx.Response) -> Told:
    """(event, data) of each."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.split("\n\n")
    assert blocks.pop() == ""
    events = []
    for block in blocks:
        named, data = block.split("\n")
        events.append((named.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def streamed(server: Any, path: str = RECOMMEND, **body: Any) -> Told:
    return events_of(await server.client.post(path, json={**body, "stream": True}))


def names(events: Told) -> list[str]:
    """Runs of one event counted as one."""
    return [name for place, (name, _) in enumerate(events) if place == 0 or events[place - 1][0] != name]


def all_of(events: Told, name: str) -> list[dict[str, Any]]:
    return [data for named, data in events if named == name]


@pytest.fixture
def user(home: Any) -> str:
    return str(min(event.user_id for event in home.world.events))


def lasting(reply: dict[str, Any]) -> dict[str, Any]:
    """Without what no two replies share."""
    return {key: value for key, value in reply.items() if key not in ("id", "next", "timings_ms")}


async def test_a_ranking_without_text_is_told_and_equals_the_unstreamed_reply(server: Any, user: str) -> None:
    body: dict[str, Any] = {"user_id": user, "count": 5, "include": ["scores", "values"]}
    plain = (await server.client.post(RECOMMEND, json=body)).json()
    events = await streamed(server, **body)
    assert names(events) == ["candidates", "item", "item.done", "ranking", "usage", "done"]
    assert all_of(events, "item") == all_of(events, "item.done") == plain["data"]
    done = events[-1][1]
    assert lasting(done) == lasting(plain)
    assert done["next"].startswith(f"/v1/recommendations/{done['id']}/next")
    candidates = events[0][1]
    assert candidates["count"] > 5
    assert (candidates["id"], candidates["user_id"], candidates["tier"]) == (done["id"], user, "full")


async def test_texts_come_word_by_word_and_end_as_the_unstreamed_ones(server: Any, user: str) -> None:
    body: dict[str, Any] = {"user_id": user, "count": 4, "generate": {"content_type": "summary"}}
    body["include"] = ["timings"]
    plain = (await server.client.post(RECOMMEND, json=body)).json()
    events = await streamed(server, **body)
    assert set(names(events)) == {"candidates", "item", "token", "item.done", "ranking", "usage", "done"}
    assert all("generated" not in item for item in all_of(events, "item"))
    final = {item["item_id"]: item["generated"] for item in all_of(events, "item.done")}
    assert final == {item["item_id"]: item["generated"] for item in plain["data"]}
    words = dict.fromkeys(final, "")
    for token in all_of(events, "token"):
        words[token["item_id"]] += token["delta"]
    assert words == {item_id: text["text"] for item_id, text in final.items()}
    assert all_of(events, "ranking") == [{"item_ids": [item["item_id"] for item in plain["data"]]}]
    assert all_of(events, "usage")[0]["prompt_tokens"] == 40
    done = events[-1][1]
    assert lasting(done) == lasting(plain) | {"usage": all_of(events, "usage")[0]}
    assert set(done["timings_ms"]) == {"interest", "retrieve", "rank", "generate"}


async def test_a_text_that_is_not_true_is_replaced_in_item_done(
    server: Any, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = server.engine
    own_prompt = engine.prompt

    def lying(task: Any) -> str:
        prompt: str = own_prompt(task)
        engine._texts[prompt] = "Buy 7 of these."
        return prompt

    monkeypatch.setattr(engine, "prompt", lying)
    before = len(engine.asked)
    events = await streamed(server, user_id=user, count=3, generate={})
    said = "".join(token["delta"] for token in all_of(events, "token"))
    assert said.count("Buy") == 3
    texts = [item["generated"] for item in all_of(events, "item.done")]
    assert {text["source"] for text in texts} == {"template"}
    assert {text["text"] for text in texts} == {template_text(task) for task in engine.asked[before:]}
    assert "Buy 7" not in json.dumps(events[-1][1])


async def test_what_was_streamed_is_counted_and_logged_as_an_unstreamed_reply(
    server: Any, home: Any, user: str
) -> None:
    counted = TIERS.labels("full")._value.get()
    events = await streamed(server, user_id=user, count=3, generate={})
    done = events[-1][1]
    assert TIERS.labels("full")._value.get() == counted + 1
    with closing(open_reader(home.store_url)) as reader:
        async with asyncio.timeout(10):
            while len(shown := reader.impressions_of(done["id"])) < 3:
                await asyncio.sleep(0.02)
    assert [(one.item_id, one.text, one.source, one.position) for one in shown] == [
        (item["item_id"], item["generated"]["text"], "model", item["rank"]) for item in done["data"]
    ]
    page = (await server.client.get(done["next"])).json()
    assert page["data"][0]["rank"] == 4


async def test_without_a_generator_the_items_come_all_the_same(server: Any, user: str) -> None:
    for broken in (server.broken, server.breaking):
        broken["generator"] = AttuneError("engine dead")
        events = await streamed(server, user_id=user, count=3, generate={})
        assert events[-1][0] == "done"
        done = events[-1][1]
        assert (done["tier"], done["degraded"]) == ("no_generation", ["generation"])
        assert any("generated" not in item for item in done["data"])
        ended = {item["item_id"]: item for item in all_of(events, "item.done")}
        assert [ended[item["item_id"]] for item in done["data"]] == done["data"]
        broken.clear()


async def test_a_stage_that_fails_degrades_the_stream_to_popular(server: Any, user: str) -> None:
    server.broken["retriever"] = AttuneError("gone")
    events = await streamed(server, user_id=user, count=3)
    assert (events[0][1]["tier"], events[0][1]["degraded"]) == ("popular", ["retriever"])
    assert events[-1][1]["tier"] == "popular"


async def test_generations_are_streamed_and_agree_with_the_unstreamed_ones(server: Any, home: Any) -> None:
    wanted = [item.item_id for item in home.world.items[:3]]
    body = {"user_id": "u", "item_ids": wanted}
    plain = (await server.client.post(GENERATE, json=body)).json()
    events = await streamed(server, GENERATE, **body)
    assert set(names(events)) == {"token", "item.done", "usage", "done"}
    assert lasting(events[-1][1]) == lasting(plain) | {"usage": all_of(events, "usage")[0]}
    by_id = {item["item_id"]: item for item in all_of(events, "item.done")}
    assert [by_id[item_id] for item_id in wanted] == plain["data"]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (RECOMMEND, {"user_id": "u", "count": 101}, 422, "count"),
        (RECOMMEND, {"user_id": "nobody", "strict_user": True}, 404, "user_id"),
        (GENERATE, {"user_id": "u", "item_ids": ["no-such"]}, 404, "item_ids"),
        (f"{RECOMMEND}:batch", {"requests": [{"user_id": "u", "stream": True}]}, 422, "requests.0.stream"),
    ],
)
async def test_what_is_refused_before_the_first_event_is_an_ordinary_error(
    server: Any, path: str, body: dict[str, Any], status: int, param: str
) -> None:
    asked = body if path.endswith("batch") else {**body, "stream": True}
    answer = await server.client.post(path, json=asked)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == param


async def test_generations_without_any_text_end_as_an_error(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"user_id": "u", "item_ids": [home.world.items[0].item_id], "stream": True}
    server.broken["generator"] = AttuneError("engine dead")
    assert (await server.client.post(GENERATE, json=body)).status_code == 503
    server.broken.clear()
    server.engine.may_go_on.clear()
    events = events_of(await server.client.post(GENERATE, json={**body, "timeout_ms": 200}))
    assert [name for name, _ in events] == ["token", "error"]
    assert events[-1][1]["error"]["code"] == "deadline_exceeded"
    server.engine.may_go_on.set()
    monkeypatch.setattr(server.ingress._api.generations, "_config", GenerationConfig(enabled=False))
    assert (await server.client.post(GENERATE, json=body)).status_code == 503


async def test_a_deadline_in_the_middle_keeps_what_is_finished(server: Any, user: str) -> None:
    server.engine.may_go_on.clear()
    events = await streamed(server, user_id=user, count=2, generate={}, timeout_ms=600)
    assert all_of(events, "token")
    assert events[-1][0] == "done"
    assert (events[-1][1]["tier"], events[-1][1]["degraded"]) == ("no_generation", ["generation"])
    async with asyncio.timeout(5):
        while server.engine.streaming:
            await asyncio.sleep(0.005)


async def test_leaving_in_the_middle_stops_the_engine_and_logs_nothing(server: Any, home: Any, user: str) -> None:
    server.engine.may_go_on.clear()
    caller = Leaver(server, RECOMMEND, user_id=user, count=3, generate={}, stream=True)
    async with asyncio.timeout(5):
        while not any(chunk.startswith(b"event: token") for chunk in caller.chunks):
            await asyncio.sleep(0.005)
    assert len(server.engine.streaming) == 3
    await caller.leave()
    assert server.engine.streaming == set()
    assert server.ingress._api.permits.in_flight == 0
    reply_id = json.loads(caller.chunks[0].split(b"data: ")[1])["id"]
    await asyncio.sleep(0.3)  # longer than impressions wait to be written
    with closing(open_reader(home.store_url)) as reader:
        assert reader.impressions_of(reply_id) == []

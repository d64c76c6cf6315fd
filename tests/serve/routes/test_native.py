"""The native API over the real stages in one process: what each route promises, and each error's envelope."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from interest.errors import AttuneError
from interest.items import Item
from serve.config import GenerationConfig
from serve.generation.generator import GeneratedText
from serve.metrics import TIERS
from serve.schema import InterestBody

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}


async def recommend(server: Any, **body: Any) -> dict[str, Any]:
    answer = await server.client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in reply["data"]]


async def post_event(server: Any, **event: Any) -> httpx.Response:
    answer: httpx.Response = await server.client.post("/v1/events", json=event)
    return answer


def error_of(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


async def test_a_known_user_gets_the_full_tier_with_generated_text(server: Any, home: Any) -> None:
    user = home.world.events[-1].user_id
    reply = await recommend(
        server, user_id=user, count=10, generate={"content_type": "reason"}, include=["scores", "timings"]
    )
    assert (reply["tier"], reply["degraded"], len(reply["data"])) == ("full", [], 10)
    assert [item["rank"] for item in reply["data"]] == list(range(1, 11))
    scores = [item["score"] for item in reply["data"]]
    assert scores == sorted(scores, reverse=True)
    assert all(item["generated"]["text"] and item["generated"]["source"] == "model" for item in reply["data"])
    assert reply["usage"] == {"prompt_tokens": 100, "completion_tokens": 50}
    assert set(reply["timings_ms"]) == {"interest", "retrieve", "rank", "generate"}
    assert reply["model_versions"]["release"] == server.config.release
    assert any(item["score_parts"] for item in reply["data"])


async def test_the_time_of_generation_is_told_when_text_was_asked_for_even_if_there_is_none(server: Any) -> None:
    server.broken["generator"] = AttuneError("engine dead")
    asked = await recommend(server, user_id="u", count=2, generate={}, include=["timings"])
    assert set(asked["timings_ms"]) == {"interest", "retrieve", "rank", "generate"}
    plain = await recommend(server, user_id="u", count=2, include=["timings"])
    assert set(plain["timings_ms"]) == {"interest", "retrieve", "rank"}


async def test_equal_requests_are_answered_equally_and_an_event_changes_the_very_next_answer(
    server: Any, home: Any
) -> None:
    user = home.world.events[-1].user_id
    body = {"user_id": user, "count": 20, "exclude_seen": False}
    first, second = await recommend(server, **body), await recommend(server, **body)
    assert first["data"] == second["data"]
    target = ids(first)[-1]
    answer = await post_event(server, id="e1", type="hide", user_id=user, item_id=target)
    assert answer.status_code == 202
    assert target not in ids(await recommend(server, **body))


async def test_an_unknown_user_gets_cold_start_or_404_when_strict(server: Any) -> None:
    reply = await recommend(server, user_id="nobody-yet", count=5)
    assert (reply["tier"], len(reply["data"])) == ("cold_start", 5)
    answer = await server.client.post("/v1/recommendations", json={"user_id": "nobody-yet", "strict_user": True})
    assert answer.status_code == 404
    assert error_of(answer)["param"] == "user_id"


async def test_declared_interests_alone_drive_recommendations(server: Any, home: Any) -> None:
    category = home.world.items[0].categories[0]
    body = {"interests": [{"kind": "category", "name": category, "weight": 1.0}]}
    answer = await server.client.put("/v1/users/newcomer/interests", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["interests"][0] == {"kind": "category", "name": category, "weight": 1.0, "declared": True}
    reply = await recommend(server, user_id="newcomer", count=10, include=["values"])
    assert reply["tier"] == "full"
    hits = sum(category in item["values"]["categories"] for item in reply["data"])
    share = sum(category in item.categories for item in home.world.items) / len(home.world.items)
    assert hits / 10 > 3 * share


async def test_patch_adds_and_takes_back_while_put_replaces(server: Any) -> None:
    writes = server.ingress._api.writes
    before_restart = replace(writes, clock=replace(writes.clock, base=writes.clock.base + 7_200))
    await before_restart.interests("editor", [InterestBody(kind="tag", name="tea")], True, None)
    jazz = {"interests": [{"kind": "tag", "name": "jazz"}]}
    answer = await server.client.put("/v1/users/editor/interests", json=jazz)
    assert [interest["name"] for interest in answer.json()["interests"] if interest["declared"]] == ["jazz"]


async def test_user_ids_may_hold_slashes(server: Any, some_item: Any) -> None:
    event = {"id": "slash-1", "type": "like", "user_id": "a/b", "item_id": some_item.item_id}
    assert (await post_event(server, **event)).status_code == 202
    for path in ("/v1/users/a/b", "/v1/users/a%2Fb"):
        assert (await server.client.get(path)).json()["user_id"] == "a/b"
        assert (await server.client.get(f"{path}/interests")).json()["events"] == 1
    assert (await server.client.delete("/v1/users/a/b")).json()["events"] == 1


async def test_an_idempotency_key_stands_in_for_event_ids_and_one_of_both_is_needed(
    server: Any, some_item: Any
) -> None:
    event = {"type": "view", "user_id": "keyed", "item_id": some_item.item_id}
    answer = await server.client.post("/v1/events", json={"events": [event, event]}, headers={"Idempotency-Key": "k"})
    assert answer.json()["ids"] == ["k:0", "k:1"]
    refused = await post_event(server, **event)
    assert refused.status_code == 422
    assert error_of(refused)["param"] == "events.0.id"


async def test_an_erased_user_is_gone_and_a_retried_event_cannot_bring_them_back(server: Any, some_item: Any) -> None:
    event = {"id": "last-trace", "type": "like", "user_id": "leaver", "item_id": some_item.item_id}
    await post_event(server, **event)
    receipt = (await server.client.delete("/v1/users/leaver")).json()
    assert (receipt["events"], receipt["user_id"]) == (1, "leaver")
    assert (await server.client.get("/v1/users/leaver")).status_code == 404
    assert (await post_event(server, **event)).json()["duplicates"] == 1
    assert (await server.client.get("/v1/users/leaver")).status_code == 404


async def test_a_new_item_is_recommended_within_two_seconds_and_a_deleted_one_no_more(server: Any) -> None:
    item = {"title": "Brass telescope for stargazers", "domain": "e-commerce", "tags": ["stargazing-xyz"], "price": 10}
    assert (await server.client.put("/v1/items/new-1", json=item)).status_code == 200
    assert (await server.client.get("/v1/items/new-1")).json()["title"] == item["title"]
    await server.client.put("/v1/users/fan/interests", json={"interests": [{"kind": "tag", "name": "stargazing-xyz"}]})

    async def shown() -> bool:
        return "new-1" in ids(await recommend(server, user_id="fan", count=10))

    async with asyncio.timeout(2):
        while not await shown():
            await asyncio.sleep(0.05)
    assert (await server.client.delete("/v1/items/new-1")).status_code == 204
    assert (await server.client.get("/v1/items/new-1")).status_code == 404
    async with asyncio.timeout(2):
        while await shown():
            await asyncio.sleep(0.05)
    assert (await server.client.delete("/v1/items/new-1")).status_code == 404


async def test_an_item_larger_than_the_api_takes_can_be_read(server: Any) -> None:
    item = Item(
        item_id="imported",
        title="t" * 1001,
        language="",
        categories=tuple(f"category {number}" for number in range(70)),
        tags=("t" * 150,),
        price=-1.0,
        available=False,
        attributes={"k" * 200: "v"},
    )
    await server.ingress._api.writes.store.put_items([item], None, "")
    answer = await server.client.get("/v1/items/imported")
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert (view["categories"], view["tags"], view["title"]) == (list(item.categories), list(item.tags), item.title)
    assert (view["price"], view["attributes"]) == (-1.0, {"k" * 200: "v"})


async def test_filters_exclusions_and_domains_hold_exactly(server: Any, home: Any) -> None:
    user = home.world.events[0].user_id
    reply = await recommend(
        server, user_id=user, count=30, filter='price < 40 and domain == "e-commerce"', include=["values"]
    )
    assert reply["data"]
    assert all(item["values"]["price"] < 40 and item["values"]["domain"] == "e-commerce" for item in reply["data"])
    first = ids(reply)[:3]
    again = await recommend(
        server, user_id=user, count=30, filter='price < 40 and domain == "e-commerce"', exclude_ids=first
    )
    assert not set(first) & set(ids(again))
    bad = await server.client.post("/v1/recommendations", json={"user_id": user, "filter": "colour == 1"})
    assert bad.status_code == 422
    assert "colour" in error_of(bad)["message"]


@pytest.mark.parametrize("stage", ["interest", "retriever", "reranker"])
async def test_a_failing_ranking_stage_degrades_to_popular_and_says_which(server: Any, stage: str) -> None:
    server.broken[stage] = AttuneError("out of order")
    reply = await recommend(server, user_id="anyone", count=7)
    assert (reply["tier"], reply["degraded"], len(reply["data"])) == ("popular", [stage], 7)


async def test_ranking_goes_on_after_every_slot_was_held_by_a_stage_that_hung(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(tensors: Any) -> Any:
        await asyncio.Event().wait()

    user = home.world.events[-1].user_id
    slots = range(server.config.batching.max_in_flight)
    with monkeypatch.context() as patched:
        patched.setattr(server.models["reranker"], "infer", hangs)
        for _ in slots:
            reply = await recommend(server, user_id=user, count=3, timeout_ms=20)
            assert (reply["tier"], reply["degraded"]) == ("popular", ["deadline"])
    assert (await recommend(server, user_id=user, count=3))["tier"] == "full"


async def test_a_failing_generator_never_fails_a_recommendation(server: Any, home: Any) -> None:
    server.broken["generator"] = AttuneError("engine dead")
    user = home.world.events[-1].user_id
    reply = await recommend(server, user_id=user, count=3, generate={})
    assert (reply["tier"], reply["degraded"], len(reply["data"])) == ("no_generation", ["generation"], 3)
    assert all("generated" not in item for item in reply["data"])


async def test_generations_write_about_the_items_that_were_asked_for(server: Any, home: Any) -> None:
    wanted = [item.item_id for item in home.world.items[:3]]
    answer = await server.client.post("/v1/generations", json={"user_id": "u", "item_ids": wanted})
    assert [item["item_id"] for item in answer.json()["data"]] == wanted
    assert answer.json()["missing"] == []
    unknown = await server.client.post("/v1/generations", json={"user_id": "u", "item_ids": ["no-such"]})
    assert unknown.status_code == 404


def texts_for(answered: int) -> Any:
    """A generator that finishes the first so many texts of a call."""

    async def infer(tensors: Any) -> Any:
        bodies = np.empty(len(tensors["task"]), dtype=object)
        bodies[:] = [b"null"] * len(bodies)
        text = GeneratedText("A text.", "model", None, 10, 5)
        bodies[:answered] = [msgspec.json.encode(text)] * answered
        return {"text": bodies}

    return infer


async def generation(server: Any, home: Any, **body: Any) -> httpx.Response:
    wanted = [item.item_id for item in home.world.items[:3]]
    answer: httpx.Response = await server.client.post(
        "/v1/generations", json={"user_id": "u", "item_ids": wanted, **body}
    )
    return answer


async def test_a_generation_names_the_items_it_has_no_text_for(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.models["generator"], "infer", texts_for(1))
    reply = (await generation(server, home)).json()
    first, *others = [item.item_id for item in home.world.items[:3]]
    assert [item["item_id"] for item in reply["data"]] == [first]
    assert reply["missing"] == others
    assert reply["usage"] == {"prompt_tokens": 10, "completion_tokens": 5}


async def test_a_generation_without_any_text_is_an_error_that_says_why(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(tensors: Any) -> Any:
        await asyncio.Event().wait()

    server.broken["generator"] = AttuneError("engine dead")
    dead = await generation(server, home)
    assert (dead.status_code, error_of(dead)["message"]) == (503, "generation: the language model does not answer")
    server.broken.clear()
    monkeypatch.setattr(server.models["generator"], "infer", hangs)
    slow = await generation(server, home, timeout_ms=100)
    assert (slow.status_code, error_of(slow)["code"]) == (408, "deadline_exceeded")
    monkeypatch.setattr(server.ingress._api.generations, "_config", GenerationConfig(enabled=False))
    disabled = await generation(server, home)
    assert disabled.status_code == 503
    assert "generation.enabled" in error_of(disabled)["message"]


async def test_a_text_is_labelled_with_the_language_it_was_written_in(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = next(item for item in home.world.items if item.language == "en")
    body = {"user_id": "u", "item_ids": [english.item_id]}

    async def language(**generate: Any) -> str:
        answer = await server.client.post("/v1/generations", json={**body, "generate": generate})
        assert server.engine.asked[-1].language == answer.json()["data"][0]["language"]
        return str(server.engine.asked[-1].language)

    assert await language() == "en"
    writer = server.ingress._api.pipeline.writer
    monkeypatch.setattr(writer, "_config", GenerationConfig(default_language="zh"))
    assert await language() == "zh"
    assert await language(language="en") == "en"


async def test_a_batch_answers_each_request_as_if_it_were_alone(server: Any, home: Any) -> None:
    users = sorted({event.user_id for event in home.world.events})[:8]
    requests = [{"user_id": user, "count": 5} for user in users]
    answer = await server.client.post("/v1/recommendations:batch", json={"requests": requests})
    assert answer.status_code == 200
    alone = [await recommend(server, **request) for request in requests]
    assert [reply["data"] for reply in answer.json()["data"]] == [reply["data"] for reply in alone]


async def test_a_batch_with_a_bad_request_names_it_and_computes_none(server: Any) -> None:
    server.calls.clear()
    requests = [{"user_id": "u"}, {"user_id": "u"}, {"user_id": "u"}, {"user_id": "u", "count": 101}]
    answer = await server.client.post("/v1/recommendations:batch", json={"requests": requests})
    assert answer.status_code == 422
    assert error_of(answer)["param"] == "requests.3.count"
    assert error_of(answer)["message"].startswith("requests.3.count=101: must be 1 to 100")
    assert not {"interest", "retriever", "reranker", "generator"} & set(
        server.calls
    )  # impressions may still be written


async def test_a_batch_that_fails_is_neither_logged_nor_counted_and_leaves_nothing_running(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(server.ingress._impressions, "put", logged.extend)
    counted = TIERS.labels("full")._value.get()
    writing, stopped = asyncio.Event(), asyncio.Event()
    user, interest = home.world.events[-1].user_id, server.models["interest"].infer

    async def hangs(tensors: Any) -> Any:
        writing.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def slow(tensors: Any) -> Any:
        found = await interest(tensors)
        if "stranger" in tensors["user_id"].tolist():
            await writing.wait()
        return found

    monkeypatch.setattr(server.models["interest"], "infer", slow)
    monkeypatch.setattr(server.models["generator"], "infer", hangs)
    monkeypatch.setattr(server.ingress._api.pipeline._ranker._batcher, "_max_batch_size", 1)
    requests = [
        {"user_id": user, "count": 3},
        {"user_id": user, "count": 3, "generate": {}},
        {"user_id": "stranger", "strict_user": True},
    ]
    async with asyncio.timeout(5):
        answer = await server.client.post("/v1/recommendations:batch", json={"requests": requests})
    assert answer.status_code == 404
    assert error_of(answer)["param"] == "requests.2.user_id"
    assert stopped.is_set()
    assert logged == []
    assert TIERS.labels("full")._value.get() == counted


async def test_a_batch_takes_a_permit_for_every_64_users(server: Any) -> None:
    server.ingress._api.permits.limit = 3
    requests = [{"user_id": "u", "count": 1}] * 65

    async def status(count: int) -> int:
        answer = await server.client.post("/v1/recommendations:batch", json={"requests": requests[:count]})
        return int(answer.status_code)

    with server.ingress._api.permits.hold(2):
        assert await status(64) == 200
        assert await status(65) == 429


async def test_impressions_are_logged_with_what_was_shown(server: Any, home: Any) -> None:
    user = home.world.events[-1].user_id
    reply = await recommend(server, user_id=user, count=4, generate={})
    async with asyncio.timeout(5):
        while not (logged := server.ingress._reader.impressions_of(reply["id"])):
            await asyncio.sleep(0.05)
    assert [one.item_id for one in logged] == ids(reply)
    assert [one.text for one in logged] == [item["generated"]["text"] for item in reply["data"]]


async def test_a_reply_as_of_an_instant_is_the_same_whatever_happens_after_it(server: Any, home: Any) -> None:
    times = sorted(event.timestamp for event in home.world.events)
    as_of = times[len(times) // 2]
    users = sorted({event.user_id for event in home.world.events if event.timestamp < as_of})[:8]
    asked = [{"user_id": user, "count": 20, "as_of": as_of, "include": ["scores"]} for user in users]
    asked += [{**body, "exclude_seen": True} for body in asked]

    async def replies() -> list[list[dict[str, Any]]]:
        answer = await server.client.post("/v1/recommendations:batch", json={"requests": asked})
        assert answer.status_code == 200, answer.text
        return [reply["data"] for reply in answer.json()["data"]]

    before = await replies()
    later = [
        {"id": f"later-{user}-{item.item_id}", "type": "purchase", "user_id": user, "item_id": item.item_id}
        for user in users
        for item in home.world.items[:60]
    ]
    later = [{**event, "timestamp": as_of + 1} for event in later]
    assert (await server.client.post("/v1/events", json={"events": later})).status_code == 202
    await asyncio.sleep(4 * server.config.retrieval.follow_interval_s)  # every replica has counted them
    assert await replies() == before
    at_once = [{**body, "as_of": as_of + 2} for body in asked]
    answer = await server.client.post("/v1/recommendations:batch", json={"requests": at_once})
    assert [reply["data"] for reply in answer.json()["data"]] != before, "a second later they do count"


async def test_as_of_shows_the_past_and_leaves_no_impression(server: Any, home: Any) -> None:
    event = home.world.events[len(home.world.events) // 2]
    url = f"/v1/users/{event.user_id}/interests"
    before = (await server.client.get(url, params={"as_of": event.timestamp - 1})).json()
    at = (await server.client.get(url, params={"as_of": event.timestamp})).json()
    assert at["events"] > before["events"]
    reply = await recommend(server, user_id=event.user_id, count=3, as_of=event.timestamp)
    await asyncio.sleep(0.3)
    assert server.ingress._reader.impressions_of(reply["id"]) == []


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"user_id": "u", "count": 0}, 422, "count"),
        ({"user_id": "u", "count": 101}, 422, "count"),
        ({"user_id": "", "count": 1}, 422, "user_id"),
        ({"count": 1}, 422, "user_id"),
        ({"user_id": "u", "colour": 1}, 422, "colour"),
        ({"user_id": "u", "timeout_ms": 0}, 422, "timeout_ms"),
        ({"user_id": "u", "generate": {"content_type": "poem"}}, 422, "generate.content_type"),
    ],
)
async def test_a_bad_field_is_named(server: Any, body: dict[str, Any], status: int, param: str) -> None:
    answer = await server.client.post("/v1/recommendations", json=body)
    assert answer.status_code == status
    assert error_of(answer)["param"] == param


async def test_every_other_refusal_has_the_same_envelope(server: Any) -> None:
    post = server.client.post
    big = json.dumps({"user_id": "u", "filter": "x" * (9 * 2**20)})

    async def chunks() -> Any:
        for _ in range(9):
            yield b" " * 2**20

    for answer, status in (
        (await post("/v1/recommendations", content=b"{", headers=JSON), 400),
        (await post("/v1/recommendations", content=b"a=1", headers={"Content-Type": "text/plain"}), 415),
        (await post("/v1/recommendations", content=big, headers=JSON), 413),
        (await post("/v1/recommendations", content=chunks(), headers=JSON), 413),
        (await server.client.get("/v1/nowhere"), 404),
        (await server.client.get("/v1/recommendations"), 405),
        (await post("/v1/recommendations:batch", json={"requests": [{"user_id": "u"}] * 257}), 422),
        (await post("/v1/events", json={"events": []}), 422),
    ):
        assert answer.status_code == status, answer.text
        assert error_of(answer)["message"]


async def test_no_error_and_no_log_line_holds_a_users_id(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    strict = {"user_id": "jane@example.org", "strict_user": True}
    for answer in (
        await server.client.get("/v1/users/jane@example.org"),
        await server.client.post("/v1/recommendations", json=strict),
        await server.client.post("/v1/recommendations:batch", json={"requests": [strict]}),
        await server.client.get("/v2/users/jane@example.org"),
        await server.client.post("/v1/users/jane@example.org/interests"),
    ):
        assert answer.status_code in (404, 405)
        assert "jane" not in answer.text

    async def breaks(*anything: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(asyncio, "to_thread", breaks)
    answer = await server.client.get("/v1/users/jane@example.org")
    assert answer.status_code == 500
    assert "GET /v1/users/{user_id" in caplog.text  # the template
    assert "jane" not in caplog.text + answer.text


async def test_request_ids_come_back_and_times_are_told(server: Any) -> None:
    answer = await server.client.get("/health", headers={"X-Request-ID": "abc-123"})
    assert answer.headers["x-request-id"] == "abc-123"
    assert answer.headers["server-timing"].startswith("total;dur=")
    other = await server.client.get("/health", headers={"X-Request-ID": "bad id\x7f"})
    assert len(other.headers["x-request-id"]) == 32


async def test_requests_beyond_the_permits_get_429_with_a_retry_after(server: Any) -> None:
    permits = server.ingress._api.permits
    permits.limit = 0
    answer = await server.client.post("/v1/recommendations", json={"user_id": "u"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert int(answer.headers["retry-after-ms"]) > 0
    assert error_of(answer)["code"] == "overloaded"


OTHER_ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/events", {"id": "b-1", "type": "view", "user_id": "bounded", "item_id": "any"}),
    ("POST", "/v1/feedback", {"id": "b-2", "type": "view", "user_id": "bounded", "item_id": "any"}),
    ("GET", "/v1/users/bounded", None),
    ("DELETE", "/v1/users/bounded", None),
    ("GET", "/v1/users/bounded/interests", None),
    ("PUT", "/v1/users/bounded/interests", {"interests": []}),
    ("PATCH", "/v1/users/bounded/interests", {"interests": []}),
    ("POST", "/v1/items:batch", {"items": [{"item_id": "bounded", "title": "x", "available": False}]}),
    ("PUT", "/v1/items/bounded", {"title": "x", "available": False}),
    ("GET", "/v1/items/bounded", None),
    ("DELETE", "/v1/items/bounded", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OTHER_ROUTES)
async def test_every_write_and_read_has_a_deadline(
    server: Any, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    async def hangs(*anything: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(server.models["store"], "infer", hangs)
    monkeypatch.setattr(server.models["interest"], "infer", hangs)
    monkeypatch.setattr(asyncio, "to_thread", hangs)
    async with asyncio.timeout(5):
        headers = {"X-Request-Timeout-Ms": "10"}
        answer = await server.client.request(method, path, json=body, headers=headers)
    assert answer.status_code == 408
    outcome = "" if method == "GET" else ": the outcome is unknown, retry with the same id"
    assert error_of(answer)["message"] == f"no answer within 10 ms{outcome}"
    assert server.ingress._api.write_permits.in_flight == 0


@pytest.mark.parametrize(("method", "path", "body"), OTHER_ROUTES)
async def test_every_write_and_read_takes_a_permit_of_its_own_pool(
    server: Any, method: str, path: str, body: Any
) -> None:
    server.ingress._api.write_permits.limit = 0
    answer = await server.client.request(method, path, json=body)
    assert (answer.status_code, error_of(answer)["code"]) == (429, "overloaded")
    assert int(answer.headers["retry-after-ms"]) > 0
    assert await recommend(server, user_id="u", count=1)


async def test_a_deadline_that_cannot_be_met_still_shows_something(server: Any) -> None:
    reply = await recommend(server, user_id="u", count=3, timeout_ms=1)
    assert (reply["tier"], reply["degraded"], len(reply["data"])) == ("popular", ["deadline"], 3)


async def test_ready_only_after_a_whole_request_went_through(server: Any) -> None:
    async with asyncio.timeout(10):
        while (await server.client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.05)
    assert {"interest", "retriever", "reranker", "generator"} <= set(server.calls)
    assert (await server.client.get("/version")).json()["release"] == server.config.release


async def test_metrics_and_openapi_are_served(server: Any) -> None:
    await recommend(server, user_id="u", count=1)
    text = (await server.client.get("/metrics")).text
    assert 'attune_recommendations_total{tier="cold_start"}' in text
    assert 'attune_requests_total{route="/v1/recommendations",status="200"}' in text
    paths = (await server.client.get("/openapi.json")).json()["paths"]
    assert {"/v1/recommendations", "/v1/events", "/v1/items/{item_id}", "/v1/users/{user_id}/interests"} <= set(paths)

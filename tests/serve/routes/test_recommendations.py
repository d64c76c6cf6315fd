"""How a recommendation is answered over the real stages in one process: tiers, times, filters, `as_of`, impressions."""

import asyncio
from typing import Any

import pytest

from interest.errors import AttuneError
from tests.serve.routes.calls import RECOMMEND, error_of, ids, post, post_event

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_known_user_gets_the_full_tier_with_generated_text(server: Any, home: Any) -> None:
    user = home.world.events[-1].user_id
    reply = await post(
        server, RECOMMEND, user_id=user, count=10, generate={"content_type": "reason"}, include=["scores", "timings"]
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
    asked = await post(server, RECOMMEND, user_id="u", count=2, generate={}, include=["timings"])
    assert set(asked["timings_ms"]) == {"interest", "retrieve", "rank", "generate"}
    plain = await post(server, RECOMMEND, user_id="u", count=2, include=["timings"])
    assert set(plain["timings_ms"]) == {"interest", "retrieve", "rank"}


async def test_equal_requests_are_answered_equally_and_an_event_changes_the_very_next_answer(
    server: Any, home: Any
) -> None:
    user = home.world.events[-1].user_id
    body = {"user_id": user, "count": 20, "exclude_seen": False}
    first, second = await post(server, RECOMMEND, **body), await post(server, RECOMMEND, **body)
    assert first["data"] == second["data"]
    target = ids(first)[-1]
    answer = await post_event(server, id="e1", type="hide", user_id=user, item_id=target)
    assert answer.status_code == 202
    assert target not in ids(await post(server, RECOMMEND, **body))


async def test_an_unknown_user_gets_cold_start_or_404_when_strict(server: Any) -> None:
    reply = await post(server, RECOMMEND, user_id="nobody-yet", count=5)
    assert (reply["tier"], len(reply["data"])) == ("cold_start", 5)
    answer = await server.client.post("/v1/recommendations", json={"user_id": "nobody-yet", "strict_user": True})
    assert answer.status_code == 404
    assert error_of(answer)["param"] == "user_id"


async def test_filters_exclusions_and_domains_hold_exactly(server: Any, home: Any) -> None:
    user = home.world.events[0].user_id
    reply = await post(
        server, RECOMMEND, user_id=user, count=30, filter='price < 40 and domain == "e-commerce"', include=["values"]
    )
    assert reply["data"]
    assert all(item["values"]["price"] < 40 and item["values"]["domain"] == "e-commerce" for item in reply["data"])
    first = ids(reply)[:3]
    again = await post(
        server, RECOMMEND, user_id=user, count=30, filter='price < 40 and domain == "e-commerce"', exclude_ids=first
    )
    assert not set(first) & set(ids(again))
    bad = await server.client.post("/v1/recommendations", json={"user_id": user, "filter": "colour == 1"})
    assert bad.status_code == 422
    assert "colour" in error_of(bad)["message"]


@pytest.mark.parametrize("stage", ["interest", "retriever", "reranker"])
async def test_a_failing_ranking_stage_degrades_to_popular_and_says_which(server: Any, stage: str) -> None:
    server.broken[stage] = AttuneError("out of order")
    reply = await post(server, RECOMMEND, user_id="anyone", count=7)
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
            reply = await post(server, RECOMMEND, user_id=user, count=3, timeout_ms=20)
            assert (reply["tier"], reply["degraded"]) == ("popular", ["deadline"])
    assert (await post(server, RECOMMEND, user_id=user, count=3))["tier"] == "full"


async def test_a_failing_generator_never_fails_a_recommendation(server: Any, home: Any) -> None:
    server.broken["generator"] = AttuneError("engine dead")
    user = home.world.events[-1].user_id
    reply = await post(server, RECOMMEND, user_id=user, count=3, generate={})
    assert (reply["tier"], reply["degraded"], len(reply["data"])) == ("no_generation", ["generation"], 3)
    assert all("generated" not in item for item in reply["data"])


async def test_a_deadline_that_cannot_be_met_still_shows_something(server: Any) -> None:
    reply = await post(server, RECOMMEND, user_id="u", count=3, timeout_ms=1)
    assert (reply["tier"], reply["degraded"], len(reply["data"])) == ("popular", ["deadline"], 3)


async def test_impressions_are_logged_with_what_was_shown(server: Any, home: Any) -> None:
    user = home.world.events[-1].user_id
    reply = await post(server, RECOMMEND, user_id=user, count=4, generate={})
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
    reply = await post(server, RECOMMEND, user_id=event.user_id, count=3, as_of=event.timestamp)
    await asyncio.sleep(0.3)
    assert server.ingress._reader.impressions_of(reply["id"]) == []

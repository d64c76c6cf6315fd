"""/v1/rank, boosters and histories over the real stages in one process."""

import asyncio
import math
from typing import Any

import pytest

from interest.errors import AttuneError
from tests.serve.routes.calls import RECOMMEND, error_of, get, ids, post, told

pytestmark = pytest.mark.asyncio(loop_scope="module")

RANK = "/v1/rank"


@pytest.fixture
def user(home: Any) -> str:
    """Somebody with a lot of behaviour."""
    return str(home.world.events[-1].user_id)


async def test_the_callers_candidates_come_back_in_the_order_and_with_the_scores_of_recommendations(
    server: Any, user: str
) -> None:
    most = await post(server, RECOMMEND, user_id=user, count=100, exclude_seen=False)
    every = [item["item_id"] for item in most["data"]]
    ranked = await post(server, RANK, user_id=user, item_ids=sorted(every), include=["scores", "values", "timings"])
    assert (ranked["tier"], ranked["degraded"], ranked["missing"]) == ("full", [], [])
    assert sorted(ids(ranked)) == sorted(every)
    assert [item["rank"] for item in ranked["data"]] == list(range(1, len(every) + 1))
    scores = [item["score"] for item in ranked["data"]]
    assert scores == sorted(scores, reverse=True)
    assert set(ranked["timings_ms"]) == {"interest", "retrieve", "rank"}
    assert all(item["values"]["title"] and item["score_parts"] for item in ranked["data"])
    assert ranked["id"].startswith("rank_")
    assert ranked["model_versions"] == most["model_versions"]


async def test_equal_scores_depend_on_the_candidates_alone_and_repeats_count_once(
    server: Any, home: Any, user: str
) -> None:
    wanted = [item.item_id for item in home.world.items[:40]]
    first = await post(server, RANK, user_id=user, item_ids=wanted)
    others = (post(server, RECOMMEND, user_id=f"other-{number}", count=3) for number in range(20))
    again, *_ = await asyncio.gather(
        post(server, RANK, user_id=user, item_ids=[*reversed(wanted), *wanted[:5]]), *others
    )
    assert first["data"] == again["data"]


async def test_count_cuts_and_items_that_nobody_knows_are_named(server: Any, home: Any, user: str) -> None:
    known = [item.item_id for item in home.world.items[:5]]
    await post(server, "/v1/items:batch", items=[{"item_id": "sold-out", "title": "x", "available": False}])
    async with asyncio.timeout(5):
        while server.ingress._catalogue.view().row_of_id("sold-out") is None:
            await asyncio.sleep(0.02)
    asked = ["no-such", *known, "sold-out", "no-such"]
    ranked = await post(server, RANK, user_id=user, item_ids=asked, count=3)
    assert (len(ranked["data"]), ranked["missing"]) == (3, ["no-such", "sold-out"])
    nothing = await post(server, RANK, user_id=user, item_ids=["no-such"])
    assert (nothing["data"], nothing["missing"], nothing["tier"]) == ([], ["no-such"], "full")


async def test_what_the_user_hid_is_ranked_all_the_same(server: Any, home: Any) -> None:
    hidden, other = (item.item_id for item in home.world.items[:2])
    await post(server, "/v1/events", id="rank-hide", type="hide", user_id="hider", item_id=hidden)
    assert set(ids(await post(server, RANK, user_id="hider", item_ids=[hidden, other]))) == {hidden, other}


async def test_a_ranking_as_of_an_instant_knows_no_item_made_later(server: Any, home: Any) -> None:
    event = home.world.events[len(home.world.events) // 2]
    until = event.timestamp
    later = next(item.item_id for item in home.world.items if item.created_at and item.created_at > until)
    there = next(item.item_id for item in home.world.items if item.created_at and item.created_at < until)
    body = {"user_id": event.user_id, "item_ids": [later, there]}
    past = await post(server, RANK, **body, as_of=until)
    assert (ids(past), past["missing"]) == ([there], [later])
    assert len(ids(await post(server, RANK, **body))) == 2


@pytest.mark.parametrize("stage", ["interest", "retriever", "reranker"])
async def test_without_a_stage_the_candidates_are_ranked_by_popularity(
    server: Any, home: Any, user: str, stage: str
) -> None:
    server.broken[stage] = AttuneError("out of order")
    wanted = [item.item_id for item in home.world.items[:6]]
    ranked = await post(server, RANK, user_id=user, item_ids=[*wanted, "no-such"])
    assert (ranked["tier"], ranked["degraded"], ranked["missing"]) == ("popular", [stage], ["no-such"])
    assert set(ids(ranked)) == set(wanted)


async def test_a_ranking_logs_nothing(server: Any, home: Any, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(server.ingress._impressions, "put", logged.append)
    monkeypatch.setattr(server.ingress._impressions, "keep", logged.append)
    ranked = await post(server, RANK, user_id=user, item_ids=[home.world.items[0].item_id])
    assert (logged, ranked.get("next")) == ([], None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"item_ids": ["a"]}, "user_id"),
        ({"user_id": "u", "item_ids": []}, "item_ids"),
        ({"user_id": "u", "item_ids": ["a"] * 501}, "item_ids"),
        ({"user_id": "u", "item_ids": ["a"], "count": 0}, "count"),
        ({"user_id": "u", "item_ids": ["a"], "count": 501}, "count"),
        ({"user_id": "u", "item_ids": ["a"], "exclude_seen": True}, "exclude_seen"),
    ],
)
async def test_a_bad_ranking_is_refused_by_name(server: Any, body: dict[str, Any], param: str) -> None:
    answer = await server.client.post(RANK, json=body)
    assert (answer.status_code, error_of(answer)["param"]) == (422, param)


async def test_a_ranking_takes_a_permit(server: Any) -> None:
    server.ingress._api.permits.limit = 0
    answer = await server.client.post(RANK, json={"user_id": "u", "item_ids": ["a"]})
    assert answer.status_code == 429


async def test_a_booster_lifts_what_it_matches_and_leaves_the_other_scores_as_they_are(
    server: Any, home: Any, user: str
) -> None:
    wanted = [item.item_id for item in home.world.items[:60]]
    domain = home.world.items[0].domain
    mine = {item.item_id for item in home.world.items if item.domain == domain}
    booster = [{"filter": f'domain == "{domain}"', "factor": 4.0}]
    plain = await post(server, RANK, user_id=user, item_ids=wanted)
    boosted = await post(server, RANK, user_id=user, item_ids=wanted, booster=booster)
    before = {item["item_id"]: item["score"] for item in plain["data"]}
    assert any(item["item_id"] in mine for item in boosted["data"])
    for item in boosted["data"]:
        lifted = math.log(4.0) if item["item_id"] in mine else 0.0
        assert item["score"] == pytest.approx(before[item["item_id"]] + lifted, abs=1e-4)


async def test_boosters_of_recommendations_move_shares_up_and_down_and_only_their_own(
    server: Any, home: Any, user: str
) -> None:
    async def share(domain: str, **booster: Any) -> int:
        body = {"user_id": user, "count": 30, "include": ["values"]}
        reply = await post(server, RECOMMEND, **body, booster=[booster] if booster else [])
        assert reply["tier"] == "full"
        return sum(item["values"]["domain"] == domain for item in reply["data"])

    domains = sorted({item.domain for item in home.world.items})
    for domain in domains:
        boost = {"filter": f'domain == "{domain}"'}
        low, plain, high = await asyncio.gather(
            share(domain, **boost, factor=0.01), share(domain), share(domain, **boost, factor=100.0)
        )
        assert low <= plain <= high
        assert low < high


async def test_a_booster_counts_also_when_popular_items_stand_in(server: Any, home: Any) -> None:
    domain = home.world.items[0].domain
    server.broken["reranker"] = AttuneError("out of order")
    booster = [{"filter": f'domain == "{domain}"', "factor": 1e6}]
    reply = await post(server, RECOMMEND, user_id="u", count=5, booster=booster, include=["values"])
    assert reply["tier"] == "popular"
    assert all(item["values"]["domain"] == domain for item in reply["data"])


@pytest.mark.parametrize(
    ("booster", "param"),
    [
        ([{"filter": "price < 1", "factor": 0}], "booster.0.factor"),
        ([{"filter": "price < 1", "factor": -1}], "booster.0.factor"),
        ([{"filter": "", "factor": 2}], "booster.0.filter"),
        ([{"filter": "price < 1", "factor": 2}, {"filter": "colour == 1", "factor": 2}], "booster.1.filter"),
        ([{"filter": "price < 1", "factor": 2}] * 11, "booster"),
    ],
)
async def test_a_bad_booster_is_refused_by_name(server: Any, booster: list[Any], param: str) -> None:
    answer = await server.client.post(RECOMMEND, json={"user_id": "u", "booster": booster})
    assert (answer.status_code, error_of(answer)["param"]) == (422, param)


def history_of(home: Any, user: str) -> list[dict[str, Any]]:
    return [
        {"item_id": event.item_id, "type": event.type.value, "timestamp": event.timestamp, "value": event.value}
        for event in home.world.events
        if event.user_id == user and not event.text
    ]


async def test_a_history_alone_is_answered_as_a_user_who_did_just_that(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = history_of(home, sorted({event.user_id for event in home.world.events})[3])
    events = [{**event, "id": f"twin-{place}", "user_id": "twin"} for place, event in enumerate(history)]
    told(await server.client.post("/v1/events", json={"events": events}))
    logged: list[Any] = []
    monkeypatch.setattr(server.ingress._impressions, "put", logged.append)
    monkeypatch.setattr(server.ingress._impressions, "keep", logged.append)
    await server.caught_up()
    body = {"count": 20, "exclude_seen": False}
    stateless = await post(server, RECOMMEND, **body, history=history)
    assert (logged, "next" in stateless, "user_id" in stateless) == ([], False, False)
    known = await post(server, RECOMMEND, **body, user_id="twin")
    assert stateless["tier"] == known["tier"] == "full"
    assert stateless["data"] == known["data"]
    assert logged


async def test_a_history_beside_a_user_counts_for_that_request_only(server: Any, home: Any, user: str) -> None:
    body = {"user_id": user, "count": 10, "exclude_seen": False}
    first = await post(server, RECOMMEND, **body)
    hidden = ids(first)[0]
    other = await post(server, RECOMMEND, **body, history=[{"item_id": hidden, "type": "hide"}])
    assert hidden not in ids(other)
    assert (await post(server, RECOMMEND, **body))["data"] == first["data"]
    assert "next" in first
    assert "next" not in other


async def test_a_history_leaves_the_neighbours_of_its_batch_alone(server: Any, home: Any, user: str) -> None:
    alone = await post(server, RECOMMEND, user_id=user, count=10)
    history = history_of(home, user)
    requests = [{"history": history, "count": 10}, {"user_id": user, "count": 10}, {"user_id": "nobody", "count": 10}]
    batch = (await post(server, "/v1/recommendations:batch", requests=requests))["data"]
    assert batch[1]["data"] == alone["data"]
    assert [reply["tier"] for reply in batch] == ["full", "full", "cold_start"]


async def test_a_ranking_takes_a_history_too(server: Any, home: Any, user: str) -> None:
    wanted = [item.item_id for item in home.world.items[:30]]
    stranger = await post(server, RANK, user_id="nobody", item_ids=wanted)
    told_of = await post(server, RANK, history=history_of(home, user), item_ids=wanted)
    assert (stranger["tier"], told_of["tier"]) == ("cold_start", "full")
    assert stranger["data"] != told_of["data"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"history": []}, "user_id"),
        ({"history": [{"item_id": "a", "type": "stare"}]}, "history.0.type"),
        ({"history": [{"item_id": "a", "type": "view"}] * 1001}, "history"),
        ({"history": [{"item_id": "a", "type": "view", "timestamp": 4e9}]}, "history.0.timestamp"),
        ({"history": [{"item_id": "a", "type": "view", "timestamp": 6.0}], "as_of": 5.0}, "history.0.timestamp"),
    ],
)
async def test_a_bad_history_is_refused_by_name(server: Any, body: dict[str, Any], param: str) -> None:
    answer = await server.client.post(RECOMMEND, json=body)
    assert (answer.status_code, error_of(answer)["param"]) == (422, param)


async def test_items_of_a_history_that_nobody_knows_count_for_nothing(server: Any) -> None:
    reply = await post(server, RECOMMEND, history=[{"item_id": "no-such", "type": "purchase"}], count=3)
    assert (reply["tier"], len(reply["data"])) == ("cold_start", 3)


async def test_the_new_routes_are_in_the_document(server: Any) -> None:
    paths = (await get(server, "/openapi.json"))["paths"]
    assert {RANK, "/v1/recommendations/{recommendation_id}/next"} <= set(paths)

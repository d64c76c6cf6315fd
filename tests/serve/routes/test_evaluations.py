"""Evaluations over HTTP and the real stages: the numbers of the rankings themselves, and live requests go on."""

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest

from interest.batch import ragged_offsets
from ranking.evaluation import coverage_of_ids, metrics_of_ids
from serve.metrics import TIERS
from tests.serve.routes.calls import error_of, get, ids, post

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVALUATIONS = "/v1/evaluations"


def held_out(home: Any, users: int) -> list[dict[str, Any]]:
    """The last event of each of the busiest users, a second before it happened."""
    last = {event.user_id: event for event in home.world.events}
    busiest = [user for user, _ in Counter(event.user_id for event in home.world.events).most_common(users)]
    return [
        {"user_id": user, "as_of": last[user].timestamp - 1, "relevant_ids": [last[user].item_id]} for user in busiest
    ]


async def ended(server: Any, evaluation_id: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while (view := await get(server, f"{EVALUATIONS}/{evaluation_id}"))["state"] in ("queued", "running"):
            await asyncio.sleep(0.02)
    return view


async def test_the_result_is_that_of_recommendations_as_of_each_instant(server: Any, home: Any) -> None:
    rows = held_out(home, 20)
    answer = await server.client.post(EVALUATIONS, json={"k": 5, "exclude_seen": False, "rows": rows})
    assert answer.status_code == 202
    view = await ended(server, answer.json()["id"])
    assert (view["state"], view["done"], view["total"], view["k"]) == ("done", 20, 20, 5)
    asked = [{"user_id": row["user_id"], "as_of": row["as_of"], "count": 5, "exclude_seen": False} for row in rows]
    rankings = [ids(await post(server, "/v1/recommendations", **one)) for one in asked]
    relevant = [row["relevant_ids"][0] for row in rows]
    expected = metrics_of_ids(rankings, ragged_offsets(np.ones(20)), relevant, 5).means()
    available = int(server.ingress._catalogue.view().available.sum())
    assert view["result"] == pytest.approx({**expected, "coverage": coverage_of_ids(rankings, available)})
    assert view["result"]["hit_rate"] > 0
    assert view["model_versions"]["release"] == server.config.release


async def test_live_requests_go_on_beside_it_and_it_takes_few_places_of_a_batch(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    past: list[int] = []
    look_up = server.models["interest"].infer

    async def counted(tensors: Any) -> Any:
        past.append(int((~np.isnan(tensors["as_of"])).sum()))
        return await look_up(tensors)

    monkeypatch.setattr(server.models["interest"], "infer", counted)
    rows = held_out(home, 30) * 10
    started = await post(server, EVALUATIONS, rows=rows)
    live = [
        await asyncio.gather(*(post(server, "/v1/recommendations", user_id="live", count=3) for _ in range(20)))
        for _ in range(5)
    ]
    assert all(reply["tier"] == "cold_start" for replies in live for reply in replies)
    view = await ended(server, started["id"])
    assert (view["state"], view["done"]) == ("done", 300)
    assert max(past) <= server.config.evaluation.concurrency
    assert sum(past) == 300


async def test_an_evaluation_leaves_no_impression_and_no_count(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(server.ingress._impressions, "put", logged.append)
    monkeypatch.setattr(server.ingress._impressions, "keep", logged.append)
    counted = TIERS.labels("full")._value.get()
    started = await post(server, EVALUATIONS, rows=held_out(home, 3))
    assert (await ended(server, started["id"]))["state"] == "done"
    assert (logged, TIERS.labels("full")._value.get()) == ([], counted)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"rows": []}, "rows"),
        ({"rows": [{"user_id": "u", "as_of": 1, "relevant_ids": []}]}, "rows.0.relevant_ids"),
        ({"rows": [{"user_id": "u", "relevant_ids": ["a"]}]}, "rows.0.as_of"),
        ({"rows": [{"user_id": "u", "as_of": 1, "relevant_ids": ["a"]}], "k": 101}, "k"),
        ({"rows": [{"user_id": "u", "as_of": 1, "relevant_ids": ["a"]}], "metric": "auc"}, "metric"),
    ],
)
async def test_a_bad_evaluation_is_refused_by_name(server: Any, body: dict[str, Any], param: str) -> None:
    answer = await server.client.post(EVALUATIONS, json=body)
    assert (answer.status_code, error_of(answer)["param"]) == (422, param)


async def test_an_unknown_evaluation_is_a_404_and_both_routes_take_permits(server: Any, home: Any) -> None:
    assert (await server.client.get(f"{EVALUATIONS}/eval_none")).status_code == 404
    server.ingress._api.write_permits.limit = 0
    assert (await server.client.get(f"{EVALUATIONS}/eval_none")).status_code == 429
    assert (await server.client.post(EVALUATIONS, json={"rows": held_out(home, 1)})).status_code == 429

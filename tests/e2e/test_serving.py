"""Rankings, next pages, histories, boosters and evaluations on the real cluster, with two ingress replicas."""

import math
import os
import signal
import time
from collections import Counter
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.mmap_dict import MmapedDict

from serve.evaluations import INTERRUPTED
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

RECOMMEND = "/v1/recommendations"


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in reply["data"]]


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 202), answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def busiest(cluster: Any, users: int) -> list[str]:
    return [user for user, _ in Counter(event.user_id for event in cluster.home.world.events).most_common(users)]


def ingress_replicas() -> list[psutil.Process]:
    processes = psutil.Process().children(recursive=True)
    return [process for process in processes if _title(process).startswith("ray::ServeReplica:attune:ingress")]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def answered_by(route: str) -> dict[int, float]:
    """Replies of this route by the process that gave them, from each ingress replica's own counters."""
    counts: dict[int, float] = {}
    for process in ingress_replicas():
        for path in {opened.path for opened in process.open_files() if "counter_" in opened.path}:
            values = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
            counts[process.pid] = sum(value for key, value, *_ in values if f'"route": "{route}"' in key)
    return counts


def test_either_ingress_replica_gives_the_same_next_page_and_none_repeats_an_item(cluster: Any) -> None:
    route = "/v1/recommendations/{recommendation_id}/next"
    before = answered_by(route)
    with cluster.client() as client:
        first = told(client.post(RECOMMEND, json={"user_id": busiest(cluster, 1)[0], "count": 7}))
        pages = [told(client.get(first["next"])) for _ in range(20)]
        assert all(page == pages[0] for page in pages)
        after = answered_by(route)
        assert len(after) == 2
        assert all(after[pid] > before.get(pid, 0) for pid in after), "one replica answered them all"
        shown, page = ids(first), first
        while "next" in page:
            page = told(client.get(page["next"]))
            assert page["data"][0]["rank"] == len(shown) + 1
            shown += ids(page)
    assert len(shown) == len(set(shown)) > 100


def test_next_pages_are_there_at_once_under_load_and_logged(cluster: Any) -> None:
    with cluster.client() as client:
        for user in busiest(cluster, 20):
            first = told(client.post(RECOMMEND, json={"user_id": user, "count": 5}))
            start = time.perf_counter()
            second = told(client.get(first["next"]))
            assert time.perf_counter() - start < 5
            assert not set(ids(first)) & set(ids(second))


def test_a_text_of_the_next_page_comes_from_the_language_model(cluster: Any) -> None:
    body = {"user_id": busiest(cluster, 1)[0], "count": 2, "generate": {"content_type": "reason"}}
    with cluster.client() as client:
        page = told(client.get(told(client.post(RECOMMEND, json=body))["next"]))
    assert page["degraded"] == []
    assert all(item["generated"]["text"] for item in page["data"])


def test_candidates_boosters_and_histories_travel_to_the_stages(cluster: Any) -> None:
    user = busiest(cluster, 3)[2]
    world = cluster.home.world
    wanted = [item.item_id for item in world.items[:50]]
    domain = world.items[0].domain
    mine = {item.item_id for item in world.items if item.domain == domain}
    booster = [{"filter": f'domain == "{domain}"', "factor": 4.0}]
    history = [{"item_id": e.item_id, "type": e.type.value, "timestamp": e.timestamp} for e in world.events[-50:]]
    with cluster.client() as client:
        plain = told(client.post("/v1/rank", json={"user_id": user, "item_ids": [*wanted, "no-such"]}))
        assert (plain["tier"], plain["missing"], sorted(ids(plain))) == ("full", ["no-such"], sorted(wanted))
        boosted = told(client.post("/v1/rank", json={"user_id": user, "item_ids": wanted, "booster": booster}))
        scores = {item["item_id"]: item["score"] for item in plain["data"]}
        for item in boosted["data"]:
            lifted = math.log(4.0) if item["item_id"] in mine else 0.0
            assert item["score"] == pytest.approx(scores[item["item_id"]] + lifted, abs=1e-4)
        stateless = told(client.post(RECOMMEND, json={"history": history, "count": 10}))
        assert (stateless["tier"], stateless["degraded"], len(stateless["data"])) == ("full", [], 10)
        bad = client.post(RECOMMEND, json={"user_id": user, "booster": [{"filter": "price <", "factor": 2}]})
        assert (bad.status_code, bad.json()["error"]["param"]) == (422, "booster.0.filter")


def held_out(cluster: Any, users: int) -> list[dict[str, Any]]:
    last = {event.user_id: event for event in cluster.home.world.events}
    return [
        {"user_id": user, "as_of": last[user].timestamp - 1, "relevant_ids": [last[user].item_id]}
        for user in busiest(cluster, users)
    ]


def test_an_evaluation_is_seen_through_either_replica_until_it_is_done(cluster: Any) -> None:
    route = "/v1/evaluations/{evaluation_id}"
    before = answered_by(route)
    with cluster.client() as client:
        started = told(client.post("/v1/evaluations", json={"rows": held_out(cluster, 30), "exclude_seen": False}))
        path = f"/v1/evaluations/{started['id']}"
        assert {told(client.get(path))["total"] for _ in range(20)} == {30}
        assert all(count > before.get(pid, 0) for pid, count in answered_by(route).items())
        assert eventually(lambda: bool(told(client.get(path))["state"] == "done"), 60)
        result = told(client.get(path))["result"]
    assert result["hit_rate"] > 0
    assert 0 < result["coverage"] <= 1


def test_an_evaluation_whose_replica_is_killed_ends_as_interrupted(cluster: Any) -> None:
    rows = held_out(cluster, 30) * 600
    with cluster.client() as client:
        before = answered_by("/v1/evaluations")
        started = told(client.post("/v1/evaluations", json={"rows": rows}))
        path = f"/v1/evaluations/{started['id']}"
        after: dict[int, float] = {}

        def counted() -> bool:  # a request is counted once its reply is sent
            after.update(answered_by("/v1/evaluations"))
            return sum(after.values()) > sum(before.values())

        assert eventually(counted, 10)
        (computing,) = [pid for pid, count in after.items() if count > before.get(pid, 0)]
        assert eventually(lambda: told(client.get(path))["done"] > 0, 60)
        os.kill(computing, signal.SIGKILL)

        def failed() -> bool:
            answer = client.get(path)
            return answer.status_code == 200 and told(answer).get("error") is not None

        assert eventually(failed, 90)
        view = told(client.get(path))
        assert view["error"] == INTERRUPTED
        assert 0 < view["done"] < len(rows)
        assert eventually(lambda: len(ingress_replicas()) == 2, 120)

"""The whole product on a real Ray cluster with real vLLM, as a client sees it."""

import asyncio
import contextlib
import json
import math
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from interest.store.open import open_reader
from ranking.offline import load_stages, offline_lists
from ranking.release import ModelRepository
from ranking.tasks import Task
from serve.commands.evaluation_client import ask, task_requests
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in reply["data"]]


def replicas_of(stage: str) -> list[psutil.Process]:
    """The Ray processes of one deployment of this session's cluster, by their title."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            if title.startswith("ray::ServeReplica") and f":{stage}" in title:
                found.append(process)
    return found


def metric(client: httpx.Client, name: str) -> float:
    """Sum over the labels of one metric."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_every_stage_runs_the_replicas_it_was_given(cluster: Any) -> None:
    counts = {stage: len(replicas_of(stage)) for stage in ("ingress", "interest", "retriever", "generator", "store")}
    assert counts == {"ingress": 2, "interest": 2, "retriever": 2, "generator": 1, "store": 1}


def test_a_real_user_gets_items_with_text_from_the_language_model(cluster: Any) -> None:
    users = [user_id for user_id, _ in Counter(event.user_id for event in cluster.home.world.events).most_common(10)]
    sources: Counter[str] = Counter()
    with cluster.client() as client:
        for user in users:
            body = {"user_id": user, "count": 5, "generate": {"content_type": "reason"}}
            reply = client.post("/v1/recommendations", json=body).json()
            assert (reply["tier"], reply["degraded"], len(reply["data"])) == ("full", [], 5), reply
            sources.update(item["generated"]["source"] for item in reply["data"])
    assert sources["model"] > sources["template"]


def test_wishes_for_a_list_cross_the_cluster_and_answer_alike_on_every_replica(cluster: Any) -> None:
    user = min(event.user_id for event in cluster.home.world.events)
    with cluster.client() as client:

        def listed(**wishes: float) -> list[str]:
            reply = client.post("/v1/recommendations", json={"user_id": user, "count": 10, **wishes}).json()
            assert (reply["tier"], reply["degraded"]) == ("full", []), reply
            return ids(reply)

        plain = listed()
        for wish in ({"diversity": 0.9}, {"calibration": 1.0}):
            lists = {tuple(listed(**wish)) for _ in range(6)}
            assert len(lists) == 1
            assert lists != {tuple(plain)}


def test_an_event_is_visible_in_the_very_next_recommendation_through_any_replica(cluster: Any) -> None:
    user = cluster.home.world.events[-1].user_id
    with cluster.client() as client:
        for round_number in range(6):
            body = {"user_id": user, "count": 10, "exclude_seen": False}
            target = ids(client.post("/v1/recommendations", json=body).json())[0]
            event = {"id": f"hide-{round_number}", "type": "hide", "user_id": user, "item_id": target}
            assert client.post("/v1/events", json=event).status_code == 202
            for _ in range(4):
                assert target not in ids(client.post("/v1/recommendations", json=body).json())


def test_a_new_item_reaches_every_retriever_replica_within_two_seconds(cluster: Any) -> None:
    tag = "quokka-watching"
    with cluster.client() as client:
        declared = {"interests": [{"kind": "tag", "name": tag}]}
        assert client.put("/v1/users/quokka-fan/interests", json=declared).status_code == 200
        item = {"title": "Field guide to quokkas", "domain": "education", "tags": [tag]}
        assert client.put("/v1/items/quokka-1", json=item).status_code == 200
        body = {"user_id": "quokka-fan", "count": 10}

        def ten_times_in_a_row() -> bool:
            return all("quokka-1" in ids(client.post("/v1/recommendations", json=body).json()) for _ in range(10))

        # Two seconds for the item, the rest for asking: ten requests that alternate between two replicas all show it.
        assert eventually(ten_times_in_a_row, 2 + 8)


async def test_the_first_caller_of_a_batch_disconnects_and_its_neighbours_get_their_answers(cluster: Any) -> None:
    user = cluster.home.world.events[-1].user_id
    host, port = cluster.url.removeprefix("http://").split(":")
    body = b'{"user_id": "%s", "count": 5}' % user.encode()
    head = (
        b"POST /v1/recommendations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )

    def leave_at_once() -> None:
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(head % len(body) + body)

    async with httpx.AsyncClient(base_url=cluster.url, timeout=60) as client:
        for _ in range(10):
            leaving = [asyncio.to_thread(leave_at_once) for _ in range(4)]
            staying = [client.post("/v1/recommendations", json={"user_id": user, "count": 5}) for _ in range(16)]
            results = await asyncio.gather(*leaving, *staying)
            replies = [answer.json() for answer in results[4:] if isinstance(answer, httpx.Response)]
            assert len(replies) == 16
            assert all(reply["degraded"] == [] for reply in replies)


def test_leaving_during_generation_stops_the_engines_work(cluster: Any) -> None:
    steps = "vllm:iteration_tokens_total_count"  # moves with every step of the engine, whoever it works for
    wanted = [item.item_id for item in cluster.home.world.items[:100]]
    body = {"user_id": "impatient", "item_ids": wanted, "timeout_ms": 60_000}
    with cluster.client() as client:

        def steps_of_one_call(leave: bool) -> float:
            """Steps that the engine took for 100 texts, until it had nothing to do any more."""
            before = metric(client, steps)
            with closing(half_sent(cluster.url, json.dumps(body).encode())) as caller:
                assert eventually(lambda: metric(client, "attune_generating_texts ") > 0, 60)
                if not leave:
                    assert b"200 OK" in caller.recv(1_000)
            assert eventually(lambda: metric(client, "attune_generating_texts ") == 0, 60)
            return settled(lambda: metric(client, steps)) - before

        whole = steps_of_one_call(leave=False)
        after_leaving = [steps_of_one_call(leave=True) for _ in range(3)]
    assert sum(after_leaving) / 3 < 0.8 * whole, "the engine works on for nobody"


def half_sent(url: str, body: bytes) -> socket.socket:
    """A caller whose body comes a moment after the headers, as most clients send it."""
    host, port = url.removeprefix("http://").split(":")
    caller = socket.create_connection((host, int(port)), timeout=120)
    head = "POST /v1/generations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
    caller.sendall(f"{head}{len(body)}\r\n\r\n".encode())
    time.sleep(0.05)
    caller.sendall(body)
    return caller


def settled(read: Callable[[], float]) -> float:
    """The value once it stands still for half a second."""
    value = read()
    while True:
        time.sleep(0.5)
        before, value = value, read()
        if value == before:
            return value


def test_the_interest_vector_moves_exactly_as_the_offline_fold_says(cluster: Any) -> None:
    release = cluster.home.config().release
    repository = ModelRepository(cluster.home.folder / "models")
    user, item = cluster.home.world.events[-1].user_id, cluster.home.world.items[3]
    event = {"id": "fold-1", "type": "purchase", "user_id": user, "item_id": item.item_id, "value": 1.0}
    url = f"/v1/users/{user}/interests?include=vector"
    with cluster.client() as client, closing(open_reader(cluster.home.store_url)) as reader:
        before = client.get(url).json()["vector"]
        assert client.post("/v1/events", json=event).status_code == 202
        after = client.get(url).json()
        stages = load_stages(reader, repository, repository.read_release(release))
        folded = reader.profiles_as_of([user], [math.inf])
        offline = stages.lookup.lookup(folded, np.array([after["now"]])).vector[0]
    assert np.abs(np.array(before) - offline).max() > 1e-4
    np.testing.assert_allclose(after["vector"], offline, atol=1e-6)


def test_an_evaluation_through_http_gets_the_lists_that_the_stages_give_offline(cluster: Any) -> None:
    last = {event.user_id: event.timestamp for event in sorted(cluster.home.world.events, key=lambda e: e.timestamp)}
    users = tuple(sorted(last)[:40])
    as_of = np.array([last[user] - 1.0 for user in users])
    nothing = np.zeros(len(users) + 1, dtype=np.int64)
    repository = ModelRepository(cluster.home.folder / "models")
    release = repository.read_release(cluster.home.config().release)
    for exclude_seen in (True, False):
        task = Task("last", users, as_of, nothing, (), exclude_seen)
        answers = ask(cluster.url, task_requests(task, 20), "last", lambda what, done, of: None)
        with closing(open_reader(cluster.home.store_url)) as reader:
            stages = load_stages(reader, repository, release)
            rows = offline_lists(reader, stages, task, 20)
        ids = stages.catalogue.view().ids
        assert answers.lists == [[ids[row] for row in line if row >= 0] for line in rows.tolist()]
        assert sum(answers.tiers.values()) == 40


def test_errors_keep_their_envelope_and_request_id_across_the_cluster(cluster: Any) -> None:
    with cluster.client() as client:
        answer = client.post("/v1/recommendations", json={"user_id": "u", "nope": 1}, headers={"X-Request-ID": "mine"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (422, "mine")
        assert answer.json()["error"]["param"] == "nope"
        event = {"id": "c-1", "type": "view", "user_id": "u", "item_id": cluster.home.world.items[0].item_id}
        assert client.post("/v1/events", json=event).status_code == 202
        conflict = client.post("/v1/events", json={**event, "type": "like"})
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "conflict")
        assert "c-1" in conflict.json()["error"]["message"]
        assert "Traceback" not in conflict.text


def test_metrics_are_the_sum_over_replicas(cluster: Any) -> None:
    name = 'attune_requests_total{route="/version",status="200"}'

    with cluster.client() as client:
        before = metric(client, name)
        for _ in range(20):
            assert client.get("/version").status_code == 200
        # A request is counted once its reply is sent, so the last ones may take a moment.
        assert eventually(lambda: metric(client, name) - before == 20, 10)


def test_side_ports_of_the_proxy_listen_on_this_machine_only(cluster: Any) -> None:
    addresses = set()
    for process in psutil.Process().children(recursive=True):
        if process.name() == "haproxy":
            addresses |= {
                connection.laddr.ip for connection in process.net_connections("inet") if connection.status == "LISTEN"
            }
    assert addresses == {"127.0.0.1"}


def test_killing_the_generator_leaves_no_process_behind_and_recommendations_go_on(cluster: Any) -> None:
    (generator,) = replicas_of("generator")
    engine = [process for process in generator.children(recursive=True) if process.is_running()]
    assert engine, "the generator owns no engine processes"
    user = cluster.home.world.events[-1].user_id
    body = {"user_id": user, "count": 3, "generate": {}, "timeout_ms": 4000}
    os.kill(generator.pid, signal.SIGKILL)
    with cluster.client() as client:
        assert eventually(lambda: not any(map(lives, engine)), 5)
        reply = client.post("/v1/recommendations", json=body).json()
        assert (reply["tier"], len(reply["data"])) in (("no_generation", 3), ("full", 3))

        def writes_again() -> bool:
            again = client.post("/v1/recommendations", json={**body, "timeout_ms": 30_000}).json()
            return bool(again["degraded"] == [] and all("generated" in item for item in again["data"]))

        assert eventually(writes_again, 120)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

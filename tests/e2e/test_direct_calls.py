"""Calls of stages on the real cluster: straight from ingress replicas to stage replicas, whoever of these is killed."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

PIPELINE = ("interest", "retriever", "reranker")
Reply = tuple[int, str, tuple[str, ...]]  # status, tier, degraded


def replicas_of(stage: str) -> set[int]:
    """Process ids, by the titles that Ray gives its processes."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).startswith(f"ray::ServeReplica:attune:{stage}"):
                found.add(process.pid)
    return found


def calls(client: httpx.Client, stage: str, way: str) -> float:
    line = f'attune_stage_calls_total{{stage="{stage}",way="{way}"}} '
    return sum(float(one.split()[-1]) for one in client.get("/metrics").text.splitlines() if one.startswith(line))


def recommended(client: httpx.Client, user: str) -> Reply:
    answer = client.post("/v1/recommendations", json={"user_id": user, "count": 5})
    reply = answer.json()
    return answer.status_code, str(reply.get("tier")), tuple(reply.get("degraded", ()))


@contextlib.contextmanager
def asked_meanwhile(cluster: Any, user: str, callers: int) -> Iterator[Counter[Reply]]:
    """So many callers that ask again and again; their replies are all there at the end."""
    replies: Counter[Reply] = Counter()
    enough = Event()

    def ask() -> list[Reply]:
        found = []
        with cluster.client() as client:
            while not enough.is_set():
                found.append(recommended(client, user))
        return found

    with ThreadPoolExecutor(callers) as pool:
        asking = [pool.submit(ask) for _ in range(callers)]
        try:
            yield replies
        finally:
            enough.set()
            for one in asking:
                replies.update(one.result())


@pytest.fixture
def user(cluster: Any) -> str:
    return str(cluster.home.world.events[-1].user_id)


def all_direct(client: httpx.Client, user: str, requests: int) -> bool:
    """Whether so many requests in a row make three calls each, all of them straight to a replica."""
    ways = [(stage, way) for stage in PIPELINE for way in ("direct", "ray")]
    before = {each: calls(client, *each) for each in ways}
    for _ in range(requests):
        assert recommended(client, user) == (200, "full", ())
    moved = {each: calls(client, *each) - before[each] for each in ways}
    return moved == {(stage, way): requests if way == "direct" else 0 for stage, way in ways}


def test_every_stage_is_called_directly(cluster: Any, user: str) -> None:
    with cluster.client() as client:
        assert eventually(lambda: all_direct(client, user, 10), 60)


@pytest.mark.parametrize("stage", PIPELINE)
def test_killing_a_replica_of_a_stage_loses_no_request_and_the_new_one_is_called_directly(
    cluster: Any, user: str, stage: str
) -> None:
    before = replicas_of(stage)
    assert len(before) == 2
    killed = min(before)
    with cluster.client() as client:
        with asked_meanwhile(cluster, user, 6) as replies:
            start = calls(client, stage, "direct")
            assert eventually(lambda: calls(client, stage, "direct") > start + 10, 60)
            os.kill(killed, signal.SIGKILL)
            assert eventually(lambda: len(replicas_of(stage) - {killed}) == 2, 120)
        assert set(replies) == {(200, "full", ())}, replies
        assert eventually(lambda: all_direct(client, user, 10), 60)

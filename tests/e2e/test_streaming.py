"""Server-sent events of our own API on the real cluster and real vLLM: truth, the log, and callers who leave."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from interest.store.open import open_reader
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

RECOMMEND, GENERATE = "/v1/recommendations", "/v1/generations"
RUNNING, TOKENS = "vllm:num_requests_running", "vllm:generation_tokens_total"


def counter(client: httpx.Client, name: str) -> float:
    """One of the engine's own, summed over its labels."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """(event, data) of each, as they come."""
    named = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            named = line.removeprefix("event: ")
        elif line:
            yield named, json.loads(line.removeprefix("data: "))


def streamed(client: httpx.Client, path: str, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    with client.stream("POST", path, json={**body, "stream": True}) as answer:
        assert answer.status_code == 200, answer.read()
        return list(events(answer))


def busiest(cluster: Any, users: int) -> list[str]:
    return [user for user, _ in Counter(event.user_id for event in cluster.home.world.events).most_common(users)]


def test_a_streamed_recommendation_ends_as_the_unstreamed_reply_and_is_logged(cluster: Any) -> None:
    came_early = 0
    with cluster.client() as client, closing(open_reader(cluster.home.store_url)) as reader:
        for user in busiest(cluster, 6):
            body: dict[str, Any] = {"user_id": user, "count": 5, "generate": {"content_type": "summary"}}
            plain = client.post(RECOMMEND, json=body).json()
            told = streamed(client, RECOMMEND, **body)
            assert told[-1][0] == "done"
            done = told[-1][1]
            assert done["data"] == plain["data"]
            assert (done["tier"], done["degraded"], done["usage"]) == ("full", [], plain["usage"])
            assert next(data for name, data in told if name == "ranking")["item_ids"] == [
                item["item_id"] for item in plain["data"]
            ]
            words = Counter[str]()
            for name, data in told:
                if name == "token":
                    words[data["item_id"]] += 1
            came_early += min(words.values()) > 1  # parts of 40 ms: a quick engine needs two for a text
            logged = [(item["item_id"], item["generated"]["text"]) for item in done["data"]]

            def shown(reply_id: str = done["id"]) -> list[tuple[str, str]]:
                return [(one.item_id, one.text) for one in reader.impressions_of(reply_id)]

            assert eventually(lambda shown=shown, logged=logged: shown() == logged, 10)  # type: ignore[misc]
    assert came_early >= 5, "texts did not come word by word"


def test_streamed_words_of_the_model_are_its_text_and_others_are_replaced(cluster: Any) -> None:
    wanted = [item.item_id for item in cluster.home.world.items[:60]]
    with cluster.client() as client:
        told = streamed(client, GENERATE, user_id=busiest(cluster, 1)[0], item_ids=wanted, timeout_ms=60_000)
    words = dict.fromkeys(wanted, "")
    for name, data in told:
        if name == "token":
            words[data["item_id"]] += data["delta"]
    final = {data["item_id"]: data for name, data in told if name == "item.done"}
    assert set(final) == set(wanted)
    for item_id, text in final.items():
        assert (words[item_id] == text["text"]) == (text["source"] == "model")
    assert Counter(text["source"] for text in final.values())["model"] > 30


def test_leaving_a_stream_of_events_stops_the_engine_within_a_second(cluster: Any) -> None:
    wanted = [item.item_id for item in cluster.home.world.items[:100]]
    body = {"user_id": "impatient", "item_ids": wanted, "stream": True, "timeout_ms": 60_000}
    with cluster.client() as client:
        assert eventually(lambda: counter(client, RUNNING) == 0, 10)

        def tokens_of_one_call(leave: bool, stops_s: float) -> float:
            """Tokens that the engine wrote for 100 texts; it stops within `stops_s` of the end of the call."""
            before = counter(client, TOKENS)
            with client.stream("POST", GENERATE, json=body) as answer:
                coming = events(answer)
                assert next(coming)[0] == "token"
                if not leave:
                    assert [name for name, _ in coming][-1] == "done"
            assert eventually(lambda: counter(client, RUNNING) == 0, stops_s)
            time.sleep(0.3)
            return counter(client, TOKENS) - before

        start = time.monotonic()
        whole = tokens_of_one_call(leave=False, stops_s=10.0)
        assert whole > 1_000
        stops_s = max(1.0, 0.5 * (time.monotonic() - start))  # a second, where the machine has nothing else to do
        left = [tokens_of_one_call(leave=True, stops_s=stops_s) for _ in range(3)]
        assert sum(left) / 3 < 0.6 * whole, "it writes on for nobody"
        assert counter(client, "attune_generating_texts ") == 0
        assert counter(client, "attune_in_flight_requests ") == 0

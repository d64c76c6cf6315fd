"""Completions past the framework's router: word for word what the framework answers, and counted as its."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serve.metrics import request_counters
from serve.routes.openai import completed
from tests.serve.routes.calls import error_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "/v1/completions"
CHAT = "/v1/chat/completions"
ASK = {"model": "demo", "prompt": "one two three", "max_tokens": 5}
TALK = {"model": "demo", "messages": [{"role": "user", "content": "one two three"}], "max_completion_tokens": 5}
BY_FRAMEWORK = {"X-Request-Timeout-Ms": "5000"}
VARYING = re.compile(r'"id":"[^"]+"|"created":\d+')  # of each answer


class Endless:
    """A body that goes on beyond every bound."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" " * 2**20


async def answered(server: Any, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes | Endless) else json.dumps(body).encode()
    answer: httpx.Response = await server.client.post(
        path, content=content, headers={"Content-Type": "application/json", "X-Request-ID": "mine", **headers}
    )
    return answer


def told(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    """All that a caller gets, but for what is another one of each answer."""
    headers = {name: value for name, value in answer.headers.items() if name != "server-timing"}
    return answer.status_code, VARYING.sub("", answer.text), headers


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (TEXT, ASK, 200),
        (TEXT, {**ASK, "stream": True, "stream_options": {"include_usage": True}}, 200),
        (TEXT, {**ASK, "prompt": ["a", "b c"], "stream": True}, 200),
        (CHAT, TALK, 200),
        (CHAT, {**TALK, "stream": True}, 200),
        (TEXT, {**ASK, "model": "gpt-4"}, 404),
        (CHAT, {**TALK, "model": "gpt-4", "stream": True}, 404),
        (TEXT, {**ASK, "seed": 1}, 422),
        (TEXT, {**ASK, "temperature": 3, "n": 2}, 422),
        (TEXT, {**ASK, "prompt": "refuse this", "stream": True}, 422),
        (CHAT, {"model": "demo"}, 422),
        (TEXT, b"{", 400),
        (TEXT, b"\xff", 400),
        (TEXT, b"", 422),
        (TEXT, b"[" * 100_000, 400),
        (CHAT, Endless(), 413),
    ],
    ids=lambda given: "endless" if isinstance(given, Endless) else repr(given)[:60],
)
async def test_it_answers_as_the_framework_does(server: Any, path: str, body: Any, status: int) -> None:
    short = await answered(server, path, body)
    framework = await answered(server, path, body, **BY_FRAMEWORK)
    assert short.status_code == status, short.text
    assert told(short) == told(framework)
    assert short.headers["x-request-id"] == "mine"
    if status != 200:
        assert error_of(short)["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
async def test_it_sheds_load_as_the_framework_does(server: Any, stream: bool) -> None:
    permits = server.ingress._api.permits
    permits.limit = 0
    permits._released_at.clear()  # whose rate says when to come back
    short = await answered(server, TEXT, {**ASK, "stream": stream})
    assert (short.status_code, short.headers["retry-after"]) == (429, "1")
    assert told(short) == told(await answered(server, TEXT, {**ASK, "stream": stream}, **BY_FRAMEWORK))


@pytest.mark.parametrize(("path", "body"), [(TEXT, ASK), (CHAT, TALK)])
async def test_it_is_taken_by_what_is_all_in_its_json(
    server: Any, monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    taken: list[str] = []

    async def noted(api: Any, body: Any, kind: Any, timeout_ms: int | None) -> Any:
        taken.append(kind)
        return await completed(api, body, kind, timeout_ms)

    monkeypatch.setattr("serve.routes.completions.completed", noted)
    assert (await answered(server, path, body, **BY_FRAMEWORK)).status_code == 200
    assert taken == []
    assert (await answered(server, path, body)).status_code == 200
    assert len(taken) == 1


@pytest.mark.parametrize(("body", "status"), [(ASK, 200), ({**ASK, "seed": 1}, 422), (b"{", 400), (Endless(), 413)])
@pytest.mark.parametrize("headers", [{}, BY_FRAMEWORK])
async def test_answers_and_refusals_count_for_their_route(
    server: Any, body: Any, status: int, headers: dict[str, str]
) -> None:
    counted, _ = request_counters(TEXT, status)
    before = counted._value.get()
    assert (await answered(server, TEXT, body, **headers)).status_code == status
    assert counted._value.get() == before + 1

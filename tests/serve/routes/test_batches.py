"""Many recommendations in one request."""

import asyncio
from typing import Any

import pytest

from serve.metrics import TIERS
from tests.serve.routes.calls import RECOMMEND, error_of, post

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_batch_answers_each_request_as_if_it_were_alone(server: Any, home: Any) -> None:
    users = sorted({event.user_id for event in home.world.events})[:8]
    requests = [{"user_id": user, "count": 5} for user in users]
    answer = await server.client.post("/v1/recommendations:batch", json={"requests": requests})
    assert answer.status_code == 200
    alone = [await post(server, RECOMMEND, **request) for request in requests]
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

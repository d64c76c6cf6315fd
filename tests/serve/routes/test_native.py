"""The native API over the real stages in one process: what holds for every route, and each error's envelope."""

import asyncio
import json
from typing import Any

import pytest

from tests.serve.routes.calls import RECOMMEND, error_of, post

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}


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
    assert await post(server, RECOMMEND, user_id="u", count=1)


async def test_ready_only_after_a_whole_request_went_through(server: Any) -> None:
    async with asyncio.timeout(10):
        while (await server.client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.05)
    assert {"interest", "retriever", "reranker", "generator"} <= set(server.calls)
    assert (await server.client.get("/version")).json()["release"] == server.config.release


async def test_metrics_and_openapi_are_served(server: Any) -> None:
    await post(server, RECOMMEND, user_id="u", count=1)
    text = (await server.client.get("/metrics")).text
    assert 'attune_recommendations_total{tier="cold_start"}' in text
    assert 'attune_requests_total{route="/v1/recommendations",status="200"}' in text
    paths = (await server.client.get("/openapi.json")).json()["paths"]
    assert {"/v1/recommendations", "/v1/events", "/v1/items/{item_id}", "/v1/users/{user_id}/interests"} <= set(paths)

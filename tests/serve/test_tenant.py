"""Who holds another key is another tenant, all the way to the engine's prefix cache."""

from typing import Any

import pytest

from serve.tenant import tenant_of
from tests.serve.routes.calls import told

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = {"none": {}, "mine": {"X-API-Key": "mine"}, "yours": {"Authorization": "Bearer yours"}}


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-api-key": b"k"},
        {b"x-api-key": b" k "},
        {b"authorization": b"Bearer k"},
        {b"authorization": b"bearer  k"},
        {b"x-api-key": b"k", b"authorization": b"Bearer other"},
    ],
)
async def test_the_same_key_is_the_same_tenant_however_it_comes_and_is_not_readable(
    headers: dict[bytes, bytes],
) -> None:
    assert tenant_of(headers) == tenant_of({b"x-api-key": b"k"})
    assert len(tenant_of(headers)) == 32


@pytest.mark.parametrize("headers", [{}, {b"x-api-key": b""}, {b"authorization": b"Basic k"}, {b"authorization": b"k"}])
async def test_callers_without_a_key_are_one_tenant(headers: dict[bytes, bytes]) -> None:
    assert tenant_of(headers) == ""


async def asked_by(server: Any, who: str, path: str, **body: Any) -> set[str]:
    """The salts that the engine saw."""
    server.engine.salts.clear()
    answer = await server.client.post(path, json=body, headers=KEYS[who])
    assert answer.status_code == 200, answer.text
    return set(server.engine.salts)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/recommendations", {"user_id": "u", "count": 2, "generate": {}}),
        ("/v1/recommendations", {"user_id": "u", "count": 2, "generate": {}, "stream": True}),
        ("/v1/generations", {"user_id": "u", "item_ids": ["shop-00001"]}),
        ("/v1/generations", {"user_id": "u", "item_ids": ["shop-00001"], "stream": True}),
        ("/v1/completions", {"model": "demo", "prompt": "a b", "max_tokens": 2}),
        ("/v1/chat/completions", {"model": "demo", "messages": [{"role": "user", "content": "a"}], "stream": True}),
    ],
)
async def test_every_route_to_the_language_model_keeps_tenants_apart(server: Any, path: str, body: Any) -> None:
    salts = {who: await asked_by(server, who, path, **body) for who in KEYS}
    assert salts["none"] == {""}
    assert all(len(one) == 1 for one in salts.values())
    assert len(set.union(*salts.values())) == 3


async def test_the_next_page_is_written_for_who_asks_for_it(server: Any, home: Any) -> None:
    body = {"user_id": home.world.events[-1].user_id, "count": 2, "generate": {}}
    first = told(await server.client.post("/v1/recommendations", json=body, headers=KEYS["mine"]))
    server.engine.salts.clear()
    told(await server.client.get(first["next"], headers=KEYS["yours"]))
    assert set(server.engine.salts) == {tenant_of({b"x-api-key": b"yours"})}

"""How the tests of the routes ask a server in this process."""

from typing import Any

import httpx


async def post(server: Any, path: str, **body: Any) -> dict[str, Any]:
    """The reply to a request that must succeed."""
    return told(await server.client.post(path, json=body))


async def get(server: Any, path: str) -> dict[str, Any]:
    """The same for a GET; `path` with its query."""
    return told(await server.client.get(path))


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 202), answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in reply["data"]]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    return error

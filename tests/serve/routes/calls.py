"""How the tests of the routes ask a server in this process."""

import asyncio
import json
from typing import Any

import httpx

RECOMMEND = "/v1/recommendations"


async def post(server: Any, path: str, **body: Any) -> dict[str, Any]:
    """The reply to a request that must succeed."""
    return told(await server.client.post(path, json=body))


async def until_ready(server: Any) -> None:
    """Until its warm-up, which asks every stage, has ended."""
    async with asyncio.timeout(30):
        while (await server.client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.02)


async def get(server: Any, path: str) -> dict[str, Any]:
    """The same for a GET; `path` with its query."""
    return told(await server.client.get(path))


async def post_event(server: Any, **event: Any) -> httpx.Response:
    answer: httpx.Response = await server.client.post("/v1/events", json=event)
    return answer


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code in (200, 202), answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in reply["data"]]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


class Leaver:
    """A caller of the bare ASGI application who reads what comes until they leave."""

    def __init__(self, server: Any, path: str, **body: Any) -> None:
        self.chunks: list[bytes] = []
        self._left = asyncio.Event()
        sent = json.dumps(body).encode()
        self._waiting: list[Any] = [{"type": "http.request", "body": sent, "more_body": False}]
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("attune", 80),
            "headers": [(b"content-type", b"application/json")],
        }
        self._request = asyncio.ensure_future(server.ingress.asgi_app()(scope, self._receive, self._send))

    async def leave(self) -> None:
        """And wait until the application has noticed."""
        self._left.set()
        await asyncio.wait_for(asyncio.shield(self._request), 5)

    async def _receive(self) -> Any:
        if self._waiting:
            return self._waiting.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message.get("body"):
            self.chunks.append(message["body"])

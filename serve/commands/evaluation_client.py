"""Asking a running server what an evaluation wants to know, through its public API and nothing else."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from interest.errors import AttuneError
from ranking.tasks import Task

USERS_AT_ONCE = 64  # in one call of /v1/recommendations:batch
CALLS_AT_ONCE = 2
TIMEOUT_MS = 60_000
TRIES = 3  # of a call with degraded replies: a machine busy with something else need not cost an hour's evaluation

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Answers:
    """One list of item ids a request, best first, and how many replies came from each tier."""

    lists: Sequence[Sequence[str]]
    tiers: Mapping[str, int]


def task_requests(task: Task, count: int) -> list[dict[str, Any]]:
    """One body a user with that user's own `as_of`."""
    return [
        {"user_id": user_id, "count": count, "as_of": as_of, "exclude_seen": task.exclude_seen}
        for user_id, as_of in zip(task.user_ids, task.as_of.tolist(), strict=True)
    ]


def ask(url: str, bodies: Sequence[Mapping[str, Any]], what: str, progress: Progress) -> Answers:
    """The replies to all of these, in their order. Raises `AttuneError` for one that was refused or stayed degraded."""
    replies = asyncio.run(_ask(url, bodies, what, progress))
    for body, reply in zip(bodies, replies, strict=True):
        if _is_degraded(reply):
            raise AttuneError(
                f"user {body['user_id']}: degraded ({reply['tier']}, {reply['degraded']}): not what should be measured"
            )
    lists = [[item["item_id"] for item in reply["data"]] for reply in replies]
    return Answers(lists, dict(Counter(reply["tier"] for reply in replies)))


async def _ask(url: str, bodies: Sequence[Mapping[str, Any]], what: str, progress: Progress) -> list[dict[str, Any]]:
    slots = asyncio.Semaphore(CALLS_AT_ONCE)
    done = 0

    async def call(client: httpx.AsyncClient, part: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        nonlocal done
        requests = [{**body, "timeout_ms": TIMEOUT_MS} for body in part]
        async with slots:
            for _ in range(TRIES):
                answer = await client.post(f"{url}/v1/recommendations:batch", json={"requests": requests})
                data: list[dict[str, Any]] = _json(answer)["data"]
                if not any(_is_degraded(reply) for reply in data):
                    break
        done += len(part)
        progress(what, done, len(bodies))
        return data

    async with httpx.AsyncClient(timeout=2 * TIMEOUT_MS / 1000) as client:
        parts = [bodies[start : start + USERS_AT_ONCE] for start in range(0, len(bodies), USERS_AT_ONCE)]
        found = await asyncio.gather(*(call(client, part) for part in parts))
    return [reply for part in found for reply in part]


def post(url: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One POST; raises `AttuneError` with the server's words when it refuses."""
    return _json(httpx.post(f"{url}{path}", json=body, timeout=TIMEOUT_MS / 1000))


def _is_degraded(reply: Mapping[str, Any]) -> bool:
    return bool(reply["degraded"]) or reply["tier"] in ("popular", "cached")


def _json(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code not in (200, 202):
        raise AttuneError(f"{answer.request.url.path}: the server answered {answer.status_code}: {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found

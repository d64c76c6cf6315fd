"""`attune evaluate`: held-out events against the served path, through HTTP, beside the same stages in process."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from interest.batch import ragged_offsets
from interest.errors import AttuneError, InvalidConfig
from interest.store.open import open_reader
from ranking.evaluation import Metrics, metrics_of_ids
from ranking.offline import evaluate_offline, load_stages
from ranking.release import ModelRepository
from ranking.tasks import Task, shared_tasks
from serve.commands.data import progress_bars, row_counter

K = 10
CONCURRENCY = 32
AGREEMENT = 1e-6
TIMEOUT_MS = 60_000
SHORT = {"precision": "P", "recall": "R", "f1": "F1", "ndcg": "nDCG", "hit_rate": "HR"}  # of `Metrics`


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a task, the way it was served, what came out."""

    task: str
    path: str
    users: int
    metrics: Metrics


def evaluate_data(
    console: Console, data: Path, url: str, state: Path, users: int | None, output: Path | None
) -> list[Row]:
    """Print and return the metrics of every task; raises when HTTP and offline differ by more than 1e-6."""
    if not (data / "validation.parquet").is_file():
        raise InvalidConfig(f"{data}: no validation.parquet to evaluate on")
    home = state / data.resolve().name
    tasks = [_first(task, users) for task in shared_tasks(data)]
    rows: list[Row] = []
    with closing(open_reader(f"sqlite:///{(home / 'attune.db').resolve()}")) as reader, progress_bars(console) as bars:
        repository = ModelRepository(home / "models")
        release = repository.latest()
        if release is None:
            raise InvalidConfig(f"{home}: no release; `attune run --data {data}` makes one")
        stages = load_stages(reader, repository, release)
        for task in tasks:
            if url:
                metrics = asyncio.run(evaluate_http(url, task, row_counter(bars)))
                rows.append(Row(task.name, "HTTP", len(task.user_ids), metrics))
            rows.append(Row(task.name, "offline", len(task.user_ids), evaluate_offline(reader, stages, task, K)))
    _print(console, rows)
    if output is not None:
        numbers = [{"task": r.task, "path": r.path, "users": r.users, "k": K, **r.metrics.means()} for r in rows]
        output.write_text(json.dumps(numbers, indent=1) + "\n")
    _agree(rows)
    return rows


async def evaluate_http(url: str, task: Task, count: Callable[[str, int, int | None], None]) -> Metrics:
    """One request a user with that user's own `as_of`, answered by the server's whole ranking path."""
    slots = asyncio.Semaphore(CONCURRENCY)
    done = 0

    async def ask(client: httpx.AsyncClient, user_id: str, as_of: float) -> list[str]:
        nonlocal done
        body = {
            "user_id": user_id,
            "count": K,
            "as_of": as_of,
            "exclude_seen": task.exclude_seen,
            "timeout_ms": TIMEOUT_MS,
        }
        async with slots:
            answer = await client.post(f"{url}/v1/recommendations", json=body)
        done += 1
        count(f"{task.name} over HTTP", done, len(task.user_ids))
        return _items(user_id, answer)

    async with httpx.AsyncClient(timeout=120) as client:
        asked = (ask(client, user_id, float(at)) for user_id, at in zip(task.user_ids, task.as_of, strict=True))
        rankings = await asyncio.gather(*asked)
    return metrics_of_ids(rankings, task.relevant_offsets, task.relevant_ids, K)


def _items(user_id: str, answer: httpx.Response) -> list[str]:
    if answer.status_code != 200:
        raise AttuneError(f"user {user_id}: the server answered {answer.status_code}: {answer.text[:300]}")
    reply: dict[str, Any] = answer.json()
    if reply["degraded"] or reply["tier"] in ("popular", "cached"):
        raise AttuneError(
            f"user {user_id}: degraded ({reply['tier']}, {reply['degraded']}): not what should be measured"
        )
    return [item["item_id"] for item in reply["data"]]


def _first(task: Task, users: int | None) -> Task:
    if users is None or users >= len(task.user_ids):
        return task
    offsets = task.relevant_offsets[: users + 1]
    return replace(
        task,
        user_ids=task.user_ids[:users],
        as_of=task.as_of[:users],
        relevant_offsets=ragged_offsets(np.diff(offsets)),
        relevant_ids=task.relevant_ids[: int(offsets[-1])],
    )


def _print(console: Console, rows: Sequence[Row]) -> None:
    table = Table("task", "path", "users", *(f"{short}@{K}" for short in SHORT.values()))
    for row in rows:
        means = row.metrics.means()
        table.add_row(row.task, row.path, f"{row.users:,}", *(f"{means[name]:.4f}" for name in SHORT))
    console.print(table)


def _agree(rows: Sequence[Row]) -> None:
    """Every user's metrics, not only their means, must be the same on both paths."""
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    for task, pair in by_task.items():
        if len(pair) != 2:
            continue
        for item in fields(Metrics):
            served, offline = (getattr(row.metrics, item.name) for row in pair)
            if np.abs(served - offline).max(initial=0.0) > AGREEMENT:
                differing = int((np.abs(served - offline) > AGREEMENT).sum())
                raise AttuneError(
                    f"{task}: {item.name} differs between HTTP and offline for {differing} users: "
                    f"{served.mean():.8f} and {offline.mean():.8f} on average"
                )

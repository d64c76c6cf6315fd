"""How many recommendations a second one server gives, how long they take, and how many tokens and texts with them.

    python -m benchmarks.bench_recommend --state .attune/online-retail

Starts the server of `deploy/serve.yaml` over a folder that `attune run` has filled (store and models), drives it over
HTTP at 1 and 64 connections without generation and at 1 and 16 with it, and writes raw JSON. Every number is the
median of the rounds, with the lowest and highest beside it: machines are shared.
"""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from interest.store.open import open_reader
from serve.commands.run import server_settings
from serve.commands.server import ready_server

RESULTS = Path("benchmarks/results/recommend.json")
USERS = 200
COUNT = 10
TEXT_COUNT = 3  # items with text in one request


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one setting; latencies in milliseconds, rates a second."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    tokens_per_s: float
    texts_per_s: float
    model_share: float  # of the texts: written by the model, not by a template
    not_full: int  # replies that were degraded or not 200


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked, and by how many at once."""

    name: str
    connections: int
    generate: bool


SETTINGS = (
    Setting("ranking", 1, False),
    Setting("ranking", 64, False),
    Setting("ranking + text", 1, True),
    Setting("ranking + text", 16, True),
)


def main(
    state: Annotated[Path, typer.Option(help="A folder with attune.db and models/, as `attune run` leaves it.")],
    rounds: int = 3,
    seconds: float = 8.0,
    output: Path = RESULTS,
    config: Path = Path("deploy/serve.yaml"),
) -> None:
    """Measure and print a table."""
    console = Console()
    store = f"sqlite:///{(state / 'attune.db').resolve()}"
    with closing(open_reader(store)) as reader:
        users = reader.user_ids(USERS)
    http, settings = server_settings(config, store, state, evaluation=True)
    results: dict[str, list[dict[str, Any]]] = {}
    where = machine()  # before the server adds its own load
    with ready_server(console, settings, http.on_port(0)) as url:
        for setting in SETTINGS:
            asyncio.run(measure(url, users, setting, min(3.0, seconds)))  # warm-up, not counted
            measured = [asyncio.run(measure(url, users, setting, seconds)) for _ in range(rounds)]
            results[f"{setting.name} @ {setting.connections}"] = [asdict(one) for one in measured]
            console.print(f"{setting.name} @ {setting.connections}: done", highlight=False)
    report = {"machine": where, "state": state.name, "rounds": rounds, "seconds": seconds, "results": results}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    show(console, results)


async def measure(url: str, users: Sequence[str], setting: Setting, seconds: float) -> Round:
    """Closed loop: every connection asks again as soon as it is answered."""
    latencies: list[float] = []
    texts: list[str] = []  # sources
    tokens = not_full = 0
    start = time.perf_counter()

    async def caller(client: aiohttp.ClientSession, number: int) -> None:
        nonlocal tokens, not_full
        turn = number
        while time.perf_counter() - start < seconds:
            body: dict[str, Any] = {
                "user_id": users[turn % len(users)],
                "count": TEXT_COUNT if setting.generate else COUNT,
            }
            if setting.generate:
                body["generate"] = {"content_type": "reason"}
            sent = time.perf_counter()
            async with client.post("/v1/recommendations", json=body) as answer:
                raw = await answer.read()
            latencies.append(1000 * (time.perf_counter() - sent))
            reply: dict[str, Any] = json.loads(raw) if answer.status == 200 else {"degraded": ["status"], "data": []}
            not_full += bool(reply["degraded"])
            tokens += reply.get("usage", {}).get("completion_tokens", 0)
            texts.extend(item["generated"]["source"] for item in reply["data"] if "generated" in item)
            turn += setting.connections

    # Not httpx: at 64 connections it spends more time on its pool than the server on the requests.
    connector = aiohttp.TCPConnector(limit=setting.connections)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as client:
        await asyncio.gather(*(caller(client, number) for number in range(setting.connections)))
    taken = time.perf_counter() - start
    ordered = sorted(latencies)
    return Round(
        requests=len(ordered),
        requests_per_s=len(ordered) / taken,
        p50_ms=ordered[len(ordered) // 2],
        p99_ms=ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        tokens_per_s=tokens / taken,
        texts_per_s=len(texts) / taken,
        model_share=texts.count("model") / len(texts) if texts else 0.0,
        not_full=not_full,
    )


def machine() -> dict[str, Any]:
    """What the numbers were measured on, load included."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


def show(console: Console, results: dict[str, list[dict[str, Any]]]) -> None:
    """A row a metric, a column a setting: medians with the spread of the rounds."""
    table = Table("median (lowest-highest)", *results)
    for metric in results[next(iter(results))][0]:
        cells = []
        for rounds in results.values():
            values = sorted(one[metric] for one in rounds)
            cells.append(f"{statistics.median(values):,.4g} ({values[0]:,.3g}-{values[-1]:,.3g})")
        table.add_row(metric, *cells)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

"""Does anybody notice when a model's version is swapped? Latency at half of peak, with and without swaps.

    python -m benchmarks.bench_swap --state .attune/online-retail

Starts the server of `deploy/serve.yaml` with one model of a user's own (two dense layers in NumPy, read from a file of
8 MB and warmed up), finds the most requests a second that 16 connections get out of it, and then sends half as many on
a fixed schedule (open loop: a late answer makes nobody wait before asking, so none is hidden). Rounds take turns: one
in which new versions are loaded one after the other, one without. Reported: failed requests, p50 and p99 of both, and
their ratio, as medians of the rounds.
"""

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import numpy as np
import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bench_recommend import machine
from serve.commands.run import server_settings, store_in
from serve.commands.server import ready_server

RESULTS = Path("benchmarks/results/swap.json")
WIDTH = 1024
CONNECTIONS = 16
PEAK_S = 5.0
BEHIND_S = 10.0  # requests of so long may be unanswered
PAUSE_S = 0.5  # between two loads: a round needs requests enough for a 99th percentile
MODEL = """
import numpy as np

class Model:
    def load(self, folder, parameters):
        self.weights = np.load(folder / "weights.npy")
    def infer(self, tensors):
        hidden = np.maximum(tensors["x"] @ self.weights[0], 0)
        return {"y": (hidden @ self.weights[1])[:, :1]}
"""
CONFIG = {
    "backend": "python",
    "max_batch_size": 32,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [WIDTH]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [1]}],
    "dynamic_batching": {},
    "model_warmup": [
        {
            "batch_size": 32,
            "count": 3,
            "inputs": {"x": {"data_type": "TYPE_FP32", "dims": [WIDTH], "random_data": True}},
        }
    ],
}
BODY = np.ones((1, WIDTH), np.float32).tobytes()
HEAD = json.dumps(
    {
        "inputs": [
            {"name": "x", "shape": [1, WIDTH], "datatype": "FP32", "parameters": {"binary_data_size": len(BODY)}}
        ],
        "parameters": {"binary_data_output": True},
    }
).encode()


@dataclass(frozen=True, slots=True)
class Round:
    """Latencies in milliseconds; `swaps`: versions loaded while it ran."""

    swaps: int
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float


def main(
    state: Annotated[Path, typer.Option(help="A folder with attune.db and models/, as `attune run` leaves it.")],
    swaps: int = 100,
    rounds: int = 5,
    output: Path = RESULTS,
    config: Path = Path("deploy/serve.yaml"),
) -> None:
    """Measure, print a table, write raw JSON."""
    console, where = Console(), machine()
    folder = Path(tempfile.mkdtemp(prefix="attune-swap-"))
    write_model(folder)
    http, settings = server_settings(config, store_in(state), state, evaluation=False)
    settings = settings.model_copy(update={"user_models": settings.user_models.model_copy(update={"url": str(folder)})})
    try:
        with ready_server(console, settings, http.on_port(0)) as url:
            report = asyncio.run(measured(url, folder, swaps, rounds))
    finally:
        shutil.rmtree(folder)
    report = {"machine": {**where, "load_after": os.getloadavg()[0]}, **report}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    show(console, report)


def write_model(folder: Path) -> None:
    """The model with its first version."""
    rng = np.random.default_rng(0)
    (folder / "dense").mkdir()
    (folder / "dense" / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    np.save(folder / "weights.npy", rng.normal(size=(2, WIDTH, WIDTH)).astype(np.float32))
    write_version(folder, 1)


def write_version(folder: Path, version: int) -> None:
    target = folder / "dense" / str(version)
    target.mkdir()
    (target / "model.py").write_text(MODEL)
    os.link(folder / "weights.npy", target / "weights.npy")


async def measured(url: str, folder: Path, swaps: int, rounds: int) -> dict[str, Any]:
    """Peak, then rounds without and with swaps in turn."""
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(url, connector=connector) as client:
        await peak(client, PEAK_S)  # warm-up
        most = await peak(client, PEAK_S)
        rate, version, results = most / 2, 1, []
        for _ in track(range(rounds), description=f"half of {most:,.0f} requests a second"):
            started = time.perf_counter()
            swapped = await one_round(client, rate, folder, range(version + 1, version + 1 + swaps // rounds))
            version += swaps // rounds
            quiet = await one_round(client, rate, folder, range(0), time.perf_counter() - started)
            results += [swapped, quiet]
    return {"peak_per_s": most, "rate_per_s": rate, "rounds": [asdict(one) for one in results]}


async def peak(client: aiohttp.ClientSession, seconds: float) -> float:
    """Answers a second in a closed loop."""
    answered, end = 0, time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal answered
        while time.perf_counter() < end:
            is_answered = await ask(client)  # not in one line with the sum, which others change meanwhile
            answered += is_answered

    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return answered / seconds


async def one_round(
    client: aiohttp.ClientSession, rate: float, folder: Path, versions: range, seconds: float = 0.0
) -> Round:
    """Requests on a fixed schedule until all versions are loaded, or for so long."""
    latencies: list[float] = []
    failed = 0
    loading = asyncio.create_task(load_all(client, folder, versions))

    async def one(due: float) -> None:
        nonlocal failed
        is_answered = await ask(client)
        failed += not is_answered
        latencies.append(1000 * (time.perf_counter() - due))

    start = time.perf_counter()
    calls: list[asyncio.Task[None]] = []
    while not loading.done() or time.perf_counter() - start < seconds:
        if len(calls) - len(latencies) > BEHIND_S * rate:
            raise RuntimeError(f"over {BEHIND_S:.0f} s behind its schedule: this machine is too busy to measure on")
        due = start + len(calls) / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        calls.append(asyncio.create_task(one(due)))
    await loading
    await asyncio.gather(*calls)
    ordered = sorted(latencies)
    at = {share: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)}
    return Round(len(versions), len(ordered), failed, at[0.5], at[0.99])


async def load_all(client: aiohttp.ClientSession, folder: Path, versions: range) -> None:
    """New versions one after the other; each load must succeed."""
    for version in versions:
        write_version(folder, version)
        async with client.post("/v2/repository/models/dense/load", json={}) as answer:
            answer.raise_for_status()
        await asyncio.sleep(PAUSE_S)


async def ask(client: aiohttp.ClientSession) -> bool:
    """Whether one inference was answered."""
    headers = {"Inference-Header-Content-Length": str(len(HEAD)), "Content-Type": "application/octet-stream"}
    try:
        async with client.post("/v2/models/dense/infer", data=HEAD + BODY, headers=headers) as answer:
            await answer.read()
            return bool(answer.status == 200)
    except aiohttp.ClientError:
        return False


def show(console: Console, report: dict[str, Any]) -> None:
    """A row for the rounds with swaps, one for those without."""
    table = Table("", "swaps", "requests", "failed", "p50 ms (lowest-highest)", "p99 ms (lowest-highest)")
    middle: dict[bool, float] = {}
    for swapping in (True, False):
        rounds = [one for one in report["rounds"] if bool(one["swaps"]) == swapping]
        cells = []
        for key in ("p50_ms", "p99_ms"):
            values = sorted(one[key] for one in rounds)
            middle[swapping] = statistics.median(values)
            cells.append(f"{middle[swapping]:.2f} ({values[0]:.2f}-{values[-1]:.2f})")
        sums = (f"{sum(one[key] for one in rounds):,}" for key in ("swaps", "requests", "failed"))
        table.add_row("while versions are swapped" if swapping else "otherwise", *sums, *cells)
    console.print(table)
    console.print(
        f"p99 with swaps / without: {middle[True] / middle[False]:.2f} at {report['rate_per_s']:,.0f} a second"
    )


if __name__ == "__main__":
    typer.run(main)

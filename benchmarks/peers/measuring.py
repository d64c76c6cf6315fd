"""One round of load on one server: how fast it was, and where the time of a request went."""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import psutil

from benchmarks.peers.load import Exchange, Outcome, Plan

TRIES = 4
STATS = ("queue", "compute_input", "compute_infer", "compute_output")
Cpu = dict[str, float]  # seconds by role


@dataclass(frozen=True, slots=True)
class Served:
    """A running server. `processes`: those it consists of; `models`: those that its statistics are asked of."""

    name: str
    address: str  # host:port
    processes: Callable[[], list[psutil.Process]]
    models: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """Rates a second, latencies in milliseconds, times of a request in microseconds."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    examples: list[str]
    closed: int  # connections that the server closed between two requests
    client_cpu: float  # share of one core
    cpu_us: dict[str, float]  # a request, by role of the process
    models_us: dict[str, dict[str, float]]  # of a request, by model: queue and compute; and rows of a batch

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measured(served: Served, exchanges: Sequence[Exchange], connections: int, warm_s: float, seconds: float) -> Round:
    """Raises `RuntimeError` with what the load generator said when it gave up."""
    host, _, port = served.address.partition(":")
    plan = Plan(host, int(port), connections, warm_s, seconds, exchanges)
    before, cpu_before = _statistics(served), _cpu(served)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.load"],
        input=plan.to_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{served.name}, {connections} connections: {done.stderr.strip().splitlines()[-1]}")
    outcome = Outcome(**json.loads(done.stdout))
    cpu, after = _cpu(served), _statistics(served)
    requests = max(outcome.requests + outcome.warm_requests, 1)
    return Round(
        requests=outcome.requests,
        requests_per_s=round(outcome.requests / outcome.seconds, 1),
        p50_ms=round(outcome.p50_ms, 3),
        p99_ms=round(outcome.p99_ms, 3),
        errors=outcome.errors,
        examples=outcome.examples,
        closed=outcome.closed,
        client_cpu=round(outcome.client_cpu, 3),
        cpu_us={role: round(1e6 * (cpu[role] - cpu_before.get(role, 0.0)) / requests, 1) for role in sorted(cpu)},
        models_us={model: _spent(before[model], after[model]) for model in served.models},
    )


def _cpu(served: Served) -> Cpu:
    found: Cpu = defaultdict(float)
    for process in served.processes():
        try:
            spent = process.cpu_times()
            found[_role(process)] += spent.user + spent.system
        except psutil.Error:  # it has ended meanwhile
            continue
    return dict(found)


def _role(process: psutil.Process) -> str:
    """`ingress` of ray::ServeReplica:attune:ingress, the model's name of a stub of Triton, else the process's name."""
    line = process.cmdline()
    if line and line[0].startswith("ray::ServeReplica"):
        return line[0].split()[0].split(":")[4].split(".")[0]
    if line and line[0].endswith("triton_python_backend_stub"):
        return next((part.split("/")[-3] for part in line if part.endswith("model.py")), "stub")
    # Ray names a process after the method that it is in: what comes before the dot stays.
    return line[0].split()[0].split(".")[0] if line and line[0].startswith("ray::") else process.name()


def _statistics(served: Served) -> dict[str, dict[str, Any]]:
    found = {}
    for model in served.models:
        answer = _got(f"http://{served.address}/v2/models/{model}/stats")
        found[model] = answer.raise_for_status().json()["model_stats"][0]
    return found


def _got(url: str) -> httpx.Response:
    """Once more when the connection is reset, as load left behind can do. Raises what the last try raised."""
    for _ in range(TRIES - 1):
        with suppress(httpx.TransportError):
            return httpx.get(url, timeout=30)
        time.sleep(1.0)
    return httpx.get(url, timeout=30)


def _spent(before: dict[str, Any], after: dict[str, Any]) -> dict[str, float]:
    def moved(*keys: str) -> float:
        old, new = before, after
        for key in keys[:-1]:
            old, new = old[key], new[key]
        return float(new[keys[-1]]) - float(old.get(keys[-1], 0))

    requests = max(moved("inference_stats", "success", "count"), 1.0)
    found = {part: round(moved("inference_stats", part, "ns") / requests / 1000, 1) for part in STATS}
    batches = max(moved("execution_count"), 1.0)
    return {**found, "rows_a_batch": round(moved("inference_count") / batches, 2)}

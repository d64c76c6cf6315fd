"""Attune beside real NVIDIA Triton in one run: the same stages, the same requests, the same load, round about.

    python -m benchmarks.peers.triton                # 1, 16, 64, 128 connections, then other servers
    python -m benchmarks.peers.triton --quick        # 64 connections, under 3 minutes
    python -m benchmarks.peers.triton --connections 1 --connections 16
    python -m benchmarks.peers.triton --json FILE    # where to write; benchmarks/results/triton.json

What is measured is written at once: a run that is cut off leaves what it has.

Once with stages that compute next to nothing, which leaves the cost of the server, and once with those of a trained
release. Triton runs three models of its Python backend as an ensemble, with dynamic batches; Attune runs its own
deployments. Both are asked `recommend` of the Open Inference Protocol, in JSON and in binary, for ten items. What
Attune does beside it (checks, its log of impressions, metrics, HAProxy) is part of its cost.
"""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.peers.environments import PeerMissing
from benchmarks.peers.limits import generator_limit
from benchmarks.peers.loading import Load, Report
from benchmarks.peers.others import OTHERS
from benchmarks.peers.servers import Pair, real_pair, trivial_pair
from serve.commands.run import home_of, prepare
from serve.commands.run import synthetic_world as synthetic

RESULTS = Path("benchmarks/results/triton.json")
STATE = Path(".attune/synthetic-data")
CONNECTIONS = (1, 16, 64, 128)
QUICK = (64,)
STAGES: dict[str, Callable[[Console, Path], AbstractContextManager[Pair]]] = {
    "trivial": trivial_pair,
    "real": real_pair,
}


def main(
    quick: Annotated[bool, typer.Option(help="64 connections alone, few short rounds, no other servers.")] = False,
    state: Annotated[
        Path, typer.Option(help="A folder with attune.db and models/, as `attune run` leaves it.")
    ] = STATE,
    chosen: Annotated[list[int] | None, typer.Option("--connections", help="Instead of 1, 16, 64 and 128.")] = None,
    rounds: int = 3,
    seconds: float = 5.0,
    warm: Annotated[float, typer.Option(help="Seconds of each round that are not counted.")] = 1.0,
    output: Annotated[Path, typer.Option("--json", help="Where the numbers go.")] = RESULTS,
) -> None:
    """Measure, print, write. Ends with 1 when any reply was not what it must be."""
    console = Console()
    if quick:
        rounds, seconds, warm = 2, min(seconds, 3.0), min(warm, 0.5)
    connections = chosen or (QUICK if quick else CONNECTIONS)
    filled(console, state)
    report: Report = {"machine": machine(), "state": state.name, "rounds": rounds, "seconds": seconds, "stages": {}}
    report["generator_limit"] = {str(number): generator_limit(number, seconds) for number in connections}
    report["others"] = {}
    output.parent.mkdir(parents=True, exist_ok=True)

    def write() -> None:
        report["ratios"] = ratios(report["stages"])
        report["ratio_rps"] = report["ratios"].get("trivial", {}).get("json", {})  # by connections
        output.write_text(json.dumps(report, indent=1) + "\n")

    load = Load(console, connections, rounds, seconds, warm, write)
    for name, pair in STAGES.items():
        found: Report = {}
        report["stages"][name] = found
        try:
            with pair(console, state) as both:
                load.fill(found, (both.attune, both.triton), both.exchanges, name)
        except PeerMissing as missing:
            _is_missing(console, found, missing)
    if not quick:
        other_servers(console, report["others"], load)
    write()
    show(console, report)
    if failed := errors(report):
        console.print(f"[red]{failed} replies were not what they must be; {output} holds examples")
        sys.exit(1)


def ratios(stages: Report) -> Report:
    """Attune's requests a second over Triton's, by stages, body and connections; medians of the rounds."""
    return {
        name: {
            body: {
                number: round(both["attune"]["requests_per_s"] / both["triton"]["requests_per_s"], 3)
                for number, both in by_number.items()
            }
            for body, by_number in found.items()
        }
        for name, found in stages.items()
        if "missing" not in found
    }


def errors(report: Report) -> int:
    """Replies of all rounds that were not 200 or did not hold what they must."""
    return sum(each["errors"] for *_, one in rows_of(report) for each in one["rounds"])


def filled(console: Console, state: Path) -> None:
    """Make the synthetic world of `attune run` where nobody has; any other folder must be there."""
    if (state / "attune.db").is_file() and (state / "models").is_dir():
        return
    if state != STATE:
        raise typer.BadParameter(f"{state}: no attune.db and models/ in it; `attune run --data folder` makes them")
    folder = synthetic(console, state.parent)
    prepare(console, folder, "train", home_of(state.parent, folder, "train"))


def other_servers(console: Console, others: Report, load: Load) -> None:
    """The trivial stages in other servers, each in an environment of its own."""
    for name, started in OTHERS.items():
        found: Report = {}
        others[name] = found
        try:
            with started(console) as (served, exchanges):
                load.fill(found, (served,), exchanges, f"trivial {name}")
        except PeerMissing as missing:
            _is_missing(console, found, missing)


def _is_missing(console: Console, found: Report, missing: PeerMissing) -> None:
    console.print(f"[red]{missing}")
    found["missing"] = str(missing)


def show(console: Console, report: Report) -> None:
    """Rates and latencies; then where the time of a request goes."""
    table = Table("stages", "body", "connections", "server", "requests/s (lowest-highest)", "p50 ms", "p99 ms", "ratio")
    for name, body, number, server, one in rows_of(report):
        rates = sorted(each["requests_per_s"] for each in one["rounds"])
        ratio = report["ratios"].get(name, {}).get(body, {}).get(number) if server == "attune" else None
        rate = f"{one['requests_per_s']:,.0f} ({rates[0]:,.0f}-{rates[-1]:,.0f})"
        told = "" if ratio is None else f"{ratio:.2f}"
        table.add_row(name, body, number, server, rate, f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}", told)
    console.print(table)
    for name, body, number, server, one in rows_of(report):
        if body == "json" and number == "64":
            console.print(f"{name} stages, {server}, µs a request:", highlight=False)
            last = one["rounds"][-1]
            spent = {role: us for role, us in last["cpu_us"].items() if us >= 1}
            console.print(f"  cpu: {spent}, sum {sum(spent.values()):,.0f}", highlight=False)
            for model, parts in last["models_us"].items():
                console.print(f"  {model}: {parts}", highlight=False)


def rows_of(report: Report) -> list[tuple[str, str, str, str, Report]]:
    """(stages, body, connections, server, numbers) of all that was measured."""
    groups = [*report["stages"].items(), *(("trivial", found) for found in report["others"].values())]
    return [
        (name, body, number, server, one)
        for name, found in groups
        if "missing" not in found
        for body, by_number in found.items()
        for number, servers in by_number.items()
        for server, one in servers.items()
    ]


if __name__ == "__main__":
    typer.run(main)

"""What learning costs as the data grow, and what going on from a checkpoint saves.

    python -m benchmarks.bench_learning --data shared/data/online-retail

A full training on synthetic worlds of 1, 4 and 16 times the users and events (the items grow with the root, the history
stays a year), each in a process of its own on one core: wall and CPU seconds and peak memory, by step, and the growth
exponent, which is the slope of log cost over log scale. Then, on real data, releases of the first 90 % and 97 % of the
log are brought up to date, incrementally and in full. Writes raw JSON.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.learning_runs import SEED

RESULTS = Path("benchmarks/results/learning.json")
SCALES = (1.0, 4.0, 16.0)
SHARES = (0.9, 0.97)  # of the real log that the checkpoint has seen
MEASURES = {"cpu_s": "CPU s", "wall_s": "wall s", "peak_mib": "peak MiB"}
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main(
    data: Annotated[Path | None, typer.Option(help="Folder with items, train.parquet and validation.parquet.")] = None,
    scales: Annotated[list[float] | None, typer.Option("--scale", help="Instead of 1, 4 and 16.")] = None,
    synthetic: bool = True,
    rounds: int = 3,
    output: Path = RESULTS,
) -> None:
    """Measure and print tables; what is not measured this time stays in the file as it was."""
    console = Console()
    report: dict[str, Any] = json.loads(output.read_text()) if output.is_file() else {}
    if synthetic:
        where = machine()
        runs = [measured(console, "synthetic", str(scale)) for scale in scales or SCALES]
        report["synthetic"] = {"machine": where, "seed": SEED, "runs": runs, "exponents": exponents(runs)}
    if data is not None:
        where = machine()
        shares = [option for share in SHARES for option in ("--share", str(share))]
        run = measured(console, "real", str(data), *shares, "--rounds", str(rounds))
        report["incremental"] = {"machine": where, "seed": SEED, "rounds": rounds, "runs": [run]}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    show(console, report)


def measured(console: Console, *arguments: str) -> dict[str, Any]:
    """The report of one process of `benchmarks.learning_runs`, which has one core; the load when it began."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, console.status(f"{' '.join(arguments)} ..."):
        output = Path(folder) / "report.json"
        command = [sys.executable, "-m", "benchmarks.learning_runs", *arguments, "--output", str(output)]
        subprocess.run(command, check=True, env={**os.environ, **ONE_CORE})
        report: dict[str, Any] = json.loads(output.read_text())
    console.print(f"{' '.join(arguments)}: done", highlight=False)
    return {**report, "load_before": load}


def exponents(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """By step and for the whole: the slope of log cost over log scale, by least squares."""
    if len(runs) < 2:
        return {}
    scales = np.log([run["scale"] for run in runs])
    whole = [{"whole": run["cost"], **run["steps"]} for run in runs]
    steps = [step for step in whole[0] if all(step in costs for costs in whole)]
    return {
        step: {
            measure: float(np.polyfit(scales, np.log([costs[step][measure] for costs in whole]), 1)[0])
            for measure in MEASURES
        }
        for step in steps
    }


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Both tables, as far as they were measured."""
    for name, rows_of in (("synthetic", scale_rows), ("incremental", incremental_rows)):
        if name in report:
            head, *rows = rows_of(report[name])
            table = Table(*head)
            for row in rows:
                table.add_row(*row)
            console.print(table)


def scale_rows(report: Mapping[str, Any]) -> list[Sequence[str]]:
    """The head, then a row a step and a row a measure of the whole: a column a scale, and the growth exponent."""
    runs = report["runs"]
    sizes = (f"{run['events']:,} events, {run['users']:,} users, {run['items']:,} items" for run in runs)
    rows: list[Sequence[str]] = [("full training", *sizes, "exponent")]
    for step in runs[0]["steps"]:
        cells = (f"{run['steps'][step]['cpu_s']:.1f}" for run in runs)
        rows.append((f"{step}, CPU s", *cells, _slope(report, step, "cpu_s")))
    for measure, name in MEASURES.items():
        cells = (f"{run['cost'][measure]:,.0f}" for run in runs)
        rows.append((f"all, {name}", *cells, _slope(report, "whole", measure)))
    return rows


def incremental_rows(report: Mapping[str, Any]) -> list[Sequence[str]]:
    """The head, then a row a checkpoint and one for a full training: seconds, and nDCG@10 by task."""
    [run] = report["runs"]
    tasks = list(run["ndcg@10"])
    rows: list[Sequence[str]] = [
        (run["data"], "new events", "CPU s", "wall s", *(f"{task}, nDCG@10" for task in tasks))
    ]
    for place, one in enumerate(run["checkpoints"]):
        name = f"incremental {one['share']}"
        gaps = (_gap(run["ndcg@10"][task], name, place) for task in tasks)
        events = f"{one['new_events']:,} in {one['new_days']:.0f} days"
        rows.append((f"incremental, from the first {one['share']:.0%}", events, *_seconds(run, name), *gaps))
    full = (f"{run['ndcg@10'][task]['means']['full']:.4f}" for task in tasks)
    rows.append(("full", "", *_seconds(run, "full"), *full))
    for one in run["checkpoints"]:
        name = f"checkpoint {one['share']}"
        stale = (f"{run['ndcg@10'][task]['means'][name]:.4f}" for task in tasks)
        rows.append((f"the release of the first {one['share']:.0%} as it was", "", "", "", *stale))
    return rows


def _seconds(run: Mapping[str, Any], name: str) -> Sequence[str]:
    """Medians of the rounds: CPU and wall seconds."""
    return [f"{statistics.median(cost[measure] for cost in run['costs'][name]):.1f}" for measure in ("cpu_s", "wall_s")]


def _gap(task: Mapping[str, Any], name: str, place: int) -> str:
    """The mean, how much it is from the full training's, and the interval of the difference."""
    own, full, (_, low, high) = task["means"][name], task["means"]["full"], task["differences"][place]
    return f"{own:.4f} ({own / full - 1.0:+.1%}; difference {low:+.4f} to {high:+.4f})"


def _slope(report: Mapping[str, Any], step: str, measure: str) -> str:
    found = report["exponents"].get(step)
    return "-" if found is None else f"{found[measure]:.2f}"


if __name__ == "__main__":
    typer.run(main)

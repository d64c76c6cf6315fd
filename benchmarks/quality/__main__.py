"""How good the rankings are: Attune as it is served and tuned baselines on the same users, and cold start.

    python -m benchmarks.quality --data shared/data/online-retail

For one data folder with train.parquet and validation.parquet: imports, trains, starts the server without generation,
asks it over HTTP with each user's own as_of, tunes and measures the baselines in the same run, for the per-user split
and for the strict cut in time, and writes raw JSON. A second run uses the stores and models of the first.
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from benchmarks.bench_recommend import machine
from benchmarks.quality.cold_items import cold_items, write_cold_folder
from benchmarks.quality.cold_users import cold_users, declare
from ranking.bootstrap import LEVEL, RESAMPLES
from ranking.comparison import SEED
from ranking.tasks import strict_cut
from serve.commands.evaluate import Protocol, evaluate_data
from serve.commands.run import home_of, prepare, server_settings, store_in
from serve.commands.server import ready_server

RESULTS = Path("benchmarks/results")
TUNED = "tuned in this run"
PROTOCOLS: tuple[Protocol, ...] = ("per-user", "strict")


def main(
    data: Annotated[Path, typer.Option(help="Folder with items, train.parquet and validation.parquet.")],
    state: Annotated[Path, typer.Option(help="Where stores and models are kept.")] = Path(".attune/quality"),
    output: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/quality_<data>.json.")] = None,
    config: Path = Path("deploy/serve.yaml"),
    users: Annotated[int | None, typer.Option(help="Only the first N users of every task.")] = None,
    baselines: bool = True,
    settings: Annotated[Path | None, typer.Option(help="JSON of a run: its settings instead of tuning again.")] = None,
    ablate: Annotated[bool, typer.Option(help="Also without the reranker, and without each source.")] = False,
    cold: bool = True,
    only: Annotated[str, typer.Option(help="per-user | strict; empty: both.")] = "",
) -> None:
    """Measure, print tables and write the numbers."""
    console = Console()
    where, start = machine(), time.perf_counter()
    bench = Bench(console, data.resolve(), state, config)
    target = output or RESULTS / f"quality_{data.resolve().name}.json"
    part = target.with_name(f"{target.name}.part")  # what an interruption leaves: `settings` may be the target itself
    report: dict[str, Any] = {
        "data": data.resolve().name,
        "machine": where,
        "seed": SEED,
        "baseline_settings": TUNED if settings is None else origin(json.loads(settings.read_text())),
        "bootstrap": {"resamples": RESAMPLES, "level": LEVEL},
        "tasks": [],
        "cold_start": None,
    }
    for protocol in PROTOCOLS:
        if only in ("", protocol):
            home = bench.prepare(protocol)
            with bench.server(home) as url:
                found = evaluate_data(console, data, url, state, users, None, protocol, baselines, settings, ablate)
            report["tasks"] += [one.to_json() for one in found]
            write(part, report, start)
    if cold:
        report["cold_start"] = bench.cold_start()
    write(part, report, start)
    part.replace(target)
    console.print(f"Written: {target}")


def write(path: Path, report: Mapping[str, Any], start: float) -> None:
    """With the minutes that it took since `start`, seconds of `time.perf_counter`."""
    minutes = (time.perf_counter() - start) / 60
    path.write_text(json.dumps({**report, "minutes": minutes}, indent=1) + "\n")


def origin(report: Mapping[str, Any]) -> str:
    """Where the settings of an earlier run come from, which may have had them from one before it."""
    told: str = report["baseline_settings"]
    return f"those tuned in the run at commit {report['machine']['commit']}" if told == TUNED else told


class Bench:
    """One data folder and where its homes lie."""

    def __init__(self, console: Console, data: Path, state: Path, config: Path) -> None:
        self._console = console
        self._data = data
        self._state = state
        self._config = config

    def prepare(self, protocol: Protocol) -> Path:
        """Import and train for a protocol; the home."""
        until = strict_cut(self._data) if protocol == "strict" else None
        split: Literal["train", "all"] = "all" if protocol == "strict" else "train"
        home = home_of(self._state, self._data, split, until)
        prepare(self._console, self._data, split, home, until)
        return home

    @contextmanager
    def server(self, home: Path) -> Iterator[str]:
        """The server of the Serve config over a home, open for evaluation, without a language model; its URL."""
        http, settings = server_settings(self._config, store_in(home), home, evaluation=True)
        silent = settings.generation.model_copy(update={"enabled": False})
        with ready_server(
            self._console,
            settings.model_copy(update={"generation": silent}),
            http.on_port(0),
        ) as url:
            yield url

    def cold_start(self) -> dict[str, Any]:
        """Users with hardly any events, on a copy of the store that their events are posted to, and items with none."""
        home = self.prepare("per-user")
        copy = self._state / f"{home.name}-cold-users"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy)
        declare(self._data, copy)
        with self.server(copy) as url:
            users = cold_users(self._console, self._data, copy, url)
        shutil.rmtree(copy)
        folder = write_cold_folder(self._data, self._state / "cold-items" / self._data.name)
        home = home_of(self._state / "cold-items-home", folder, "train")
        prepare(self._console, folder, "train", home)
        with self.server(home) as url:
            items = cold_items(self._console, folder, home, url)
        return {"users": users, "items": items}


if __name__ == "__main__":
    typer.run(main)

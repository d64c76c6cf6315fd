"""One measured training in a process of its own, so that its time and peak memory are nobody else's.

    python -m benchmarks.learning_runs synthetic 4 --output out.json
    python -m benchmarks.learning_runs real folder --share 0.97 --output out.json

`benchmarks.bench_learning` starts these; what they write is a part of its report.
"""

import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from interest.store.open import open_reader, open_writer
from interest.store.protocol import StoreReader, StoreWriter
from ranking.bootstrap import mean_intervals
from ranking.data_folder import find_mapping
from ranking.importers import import_data
from ranking.incremental import train_incrementally
from ranking.offline import evaluate_offline, load_stages
from ranking.release import ModelRepository, Release
from ranking.synthetic import make_world
from ranking.tasks import shared_tasks
from ranking.training import TrainingSettings, train

SEED = 0
DAY_S = 86_400.0
ITEMS, USERS, EVENTS = 1_200, 400, 40_000  # of the synthetic world at scale 1
DOMAINS = 5
APPENDED_AT_ONCE = 10_000

app = typer.Typer()
Output = Annotated[Path, typer.Option(help="JSON file to write.")]
Threads = Annotated[int, typer.Option(help="Of the trees; those of the algebra are OMP_NUM_THREADS.")]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training took; `peak_mib` is the process's high-water mark by its end."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass
class StepClock:
    """Costs by step of a training, told by the progress it shows: a step's own is the time since the last one ended."""

    steps: dict[str, Cost] = field(default_factory=dict)
    _wall: float = field(default_factory=time.perf_counter)
    _cpu: float = field(default_factory=time.process_time)

    def ended(self, step: str) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        earlier = self.steps.get(step, Cost(0.0, 0.0, 0.0))
        self.steps[step] = Cost(earlier.wall_s + wall - self._wall, earlier.cpu_s + cpu - self._cpu, peak_mib())
        self._wall, self._cpu = wall, cpu

    def total(self) -> Cost:
        parts = self.steps.values()
        return Cost(sum(part.wall_s for part in parts), sum(part.cpu_s for part in parts), peak_mib())


class ClockedProgress(Progress):
    """Shows nothing; tells a clock whenever a step moves on."""

    def __init__(self, clock: StepClock) -> None:
        super().__init__(console=Console(quiet=True), disable=True)
        self._clock = clock
        self._names: dict[TaskID, str] = {}

    def add_task(self, description: str, *args: Any, **options: Any) -> TaskID:
        task = super().add_task(description, *args, **options)
        self._names[task] = description
        return task

    def update(self, task_id: TaskID, *args: Any, **options: Any) -> None:
        super().update(task_id, *args, **options)
        self._clock.ended(self._names[task_id])


def peak_mib() -> float:
    """Peak resident memory of this process or of its largest child, MiB."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


@app.command()
def synthetic(scale: float, output: Output, threads: Threads = 1) -> None:
    """A full training on a synthetic world with `scale` times the users and events and its root times the items."""
    items, users, events = round(ITEMS * scale**0.5), round(USERS * scale), round(EVENTS * scale)
    with tempfile.TemporaryDirectory() as folder, _opened(Path(folder)) as (reader, writer):
        _fill(writer, items // DOMAINS, users, events)
        before = peak_mib()
        steps, cost = _measured(train, reader, writer, Path(folder) / "models", threads)
    report = {
        "scale": scale,
        "users": users,
        "events": events,
        "items": items // DOMAINS * DOMAINS,
        "peak_before_mib": before,  # with the world in memory that the log was made from
        "cost": asdict(cost),
        "steps": {name: asdict(step) for name, step in steps.items()},
    }
    output.write_text(json.dumps(report))


@app.command()
def real(
    folder: Path,
    share: Annotated[list[float], typer.Option(help="Of the log, that a checkpoint has seen; may be repeated.")],
    output: Output,
    threads: Threads = 1,
    rounds: int = 3,
) -> None:
    """Releases of the first parts of a log, brought up to date incrementally, beside full trainings, in turns."""
    with tempfile.TemporaryDirectory() as scratch, _opened(Path(scratch)) as (reader, writer):
        _import(folder, writer)
        bases = {one: _base(reader, writer, Path(scratch) / f"base-{one}", one, threads) for one in share}
        costs: dict[str, list[dict[str, Any]]] = {}
        releases = {f"checkpoint {one}": (ModelRepository(base), _newest(base)) for one, base in bases.items()}
        for number in range(rounds):
            for one in (*share, None):  # None: in full
                name, models = "full" if one is None else f"incremental {one}", Path(scratch) / f"{one}-{number}"
                if one is not None:
                    shutil.copytree(bases[one], models)
                fit = train if one is None else train_incrementally
                steps, cost = _measured(fit, reader, writer, models, threads)
                found = {**asdict(cost), "steps": {key: asdict(step) for key, step in steps.items()}}
                costs.setdefault(name, []).append(found)
                releases.setdefault(name, (ModelRepository(models), _newest(models)))
        log = reader.event_columns().timestamp
        quality = _quality(reader, folder, releases, share)
    starts = {one: float(np.quantile(log, one)) for one in share}
    report = {
        "data": folder.resolve().name,
        "checkpoints": [
            {"share": one, "new_events": int(np.sum(log >= start)), "new_days": (float(log.max()) - start) / DAY_S}
            for one, start in starts.items()
        ],
        "costs": costs,
        "ndcg@10": quality,
    }
    output.write_text(json.dumps(report))


def _import(folder: Path, writer: StoreWriter) -> None:
    found = find_mapping(folder)
    if found is None:
        raise typer.BadParameter(f"{folder}: no items file that a known mapping or Attune's own layout fits")
    files, mapping = found
    import_data(files.items, list(files.events), files.users, mapping, writer, lambda *_: None, now=time.time())


def _base(reader: StoreReader, writer: StoreWriter, models: Path, share: float, threads: int) -> Path:
    """A repository with a full training on the first `share` of the log."""
    until = float(np.quantile(reader.event_columns().timestamp, share))
    train(reader, writer, ModelRepository(models), _settings(threads), seed=SEED, until=until)
    return models


def _newest(models: Path) -> Release:
    release = ModelRepository(models).latest()
    assert release is not None, "it has just been written"
    return release


def _measured(
    fit: Callable[..., Release], reader: StoreReader, writer: StoreWriter, models: Path, threads: int
) -> tuple[dict[str, Cost], Cost]:
    clock = StepClock()
    fit(reader, writer, ModelRepository(models), _settings(threads), seed=SEED, progress=ClockedProgress(clock))
    clock.ended("writing")
    return clock.steps, clock.total()


def _settings(threads: int) -> TrainingSettings:
    default = TrainingSettings()
    return replace(default, booster=replace(default.booster, threads=threads))


def _quality(
    reader: StoreReader, folder: Path, releases: dict[str, tuple[ModelRepository, Release]], shares: list[float]
) -> dict[str, dict[str, Any]]:
    """nDCG@10 by task and release, and the differences of the incremental ones to the full one with their intervals."""
    report: dict[str, dict[str, Any]] = {}
    for task in shared_tasks(folder):
        users = {
            name: evaluate_offline(reader, load_stages(reader, *found), task).ndcg for name, found in releases.items()
        }
        gaps = np.stack([users[f"incremental {share}"] - users["full"] for share in shares], axis=1)
        found = mean_intervals(gaps, np.random.default_rng(SEED))
        report[task.name] = {
            "means": {name: float(values.mean()) for name, values in users.items()},
            "differences": np.stack([found.mean, found.low, found.high], axis=1).tolist(),
        }
    return report


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[StoreReader, StoreWriter]]:
    url = f"sqlite:///{folder / 'attune.db'}"
    with closing(open_writer(url)) as writer, closing(open_reader(url)) as reader:
        yield reader, writer


def _fill(writer: StoreWriter, items_per_domain: int, users: int, events: int) -> None:
    world = make_world(np.random.default_rng(SEED), items_per_domain, users, events)
    writer.put_items(world.items, None, "")
    for start in range(0, len(world.events), APPENDED_AT_ONCE):
        writer.append(world.events[start : start + APPENDED_AT_ONCE])


if __name__ == "__main__":
    app()

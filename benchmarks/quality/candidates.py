"""How many of the items that users then wanted are among their candidates, and what finding the candidates costs.

    python -m benchmarks.quality.candidates folder/online-retail folder/movietweetings-142k

Each folder needs a home under `--state` that `attune run` or `benchmarks.quality` has filled from it. Of every held-out
request, as of its instant: what is served, the union of the sources without the trees that choose from their pool, and
each source alone, all with as many candidates; the quotas are the served ones, fitted to the whole pool. The cost is
CPU time of one core a user in batches of 64.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bench_recommend import machine
from interest.batch import Longs, UserBatch
from interest.catalogue import CatalogueView
from interest.errors import InvalidConfig
from interest.store.open import open_reader
from interest.store.protocol import StoreReader
from ranking.bootstrap import mean_intervals
from ranking.model_retriever import make_retriever
from ranking.offline import USERS_AT_ONCE, OfflineStages, load_stages, plain_requests
from ranking.release import ModelRepository
from ranking.retriever import Retriever
from ranking.retriever_settings import RetrieverSettings, settings_of
from ranking.sources import SOURCES
from ranking.tasks import Task, shared_tasks

RESULTS = Path("benchmarks/results/candidates.json")
DEPTHS = (100, 320, 500)
SERVED, UNION = "served", "the union of the sources"


def main(
    data: Annotated[list[Path], typer.Argument(help="Folders with validation.parquet.")],
    state: Annotated[Path, typer.Option(help="Where stores and models are kept.")] = Path(".attune/quality"),
    output: Path = RESULTS,
) -> None:
    """Measure, print and write; each folder is kept when it is done."""
    console, where, results = Console(), machine(), []
    for folder in data:
        found = measure(console, folder.resolve(), state / folder.resolve().name)
        for result in found:
            show(console, result)
        results += found
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"machine": where, "results": results}, indent=1) + "\n")
    console.print(f"Written to {output}", highlight=False)


def measure(console: Console, folder: Path, home: Path) -> list[dict[str, Any]]:
    """Recall by task, contestant and depth; cost by contestant and depth."""
    with closing(open_reader(f"sqlite:///{(home / 'attune.db').resolve()}")) as reader:
        repository = ModelRepository(home / "models")
        release = repository.latest()
        if release is None:
            raise InvalidConfig(f"{home}: no release; `python -m benchmarks.quality --data {folder}` makes one")
        stages = load_stages(reader, repository, release)
        retrievers = contestants(stages, settings_of(repository, release))
        found = []
        for task in shared_tasks(folder):
            recalls, costs = asked(console, reader, stages, retrievers, task)
            gain = [recalls[SERVED][depth] - recalls[UNION][depth] for depth in DEPTHS]
            interval = mean_intervals(np.stack(gain, axis=1), np.random.default_rng(0))
            found.append(
                {
                    "data": folder.name,
                    "task": task.name,
                    "users": len(task.user_ids),
                    "release": release.name,
                    "recall": by_depth(recalls, lambda values: float(np.mean(values))),
                    "gain_of_the_pool": {
                        str(depth): [float(edge[place]) for edge in (interval.mean, interval.low, interval.high)]
                        for place, depth in enumerate(DEPTHS)
                    },
                    "cpu_ms_per_user": by_depth(costs, statistics.median),
                }
            )
        return found


def contestants(stages: OfflineStages, settings: RetrieverSettings) -> dict[str, Retriever]:
    """By name; the indexes of all but the one that is served are made anew."""
    catalogue, popularity, model = stages.catalogue, stages.popularity, stages.lookup.model
    plain = replace(settings, trees="")
    others = {UNION: plain} | {
        f"{source} alone": replace(plain, quotas={name: int(name == source) for name in SOURCES}) for source in SOURCES
    }
    made = {name: make_retriever(catalogue, popularity, model, each) for name, each in others.items()}
    return {SERVED: stages.retriever} | made


ByDepth = dict[str, dict[int, Any]]  # by contestant and depth: one number a user, or one a batch


def asked(
    console: Console, reader: StoreReader, stages: OfflineStages, retrievers: Mapping[str, Retriever], task: Task
) -> tuple[ByDepth, ByDepth]:
    """Recall of each user, and CPU milliseconds a user of each full batch, by contestant and depth."""
    view = stages.catalogue.view()
    recalls: ByDepth = {name: {depth: [] for depth in DEPTHS} for name in retrievers}
    costs: ByDepth = {name: {depth: [] for depth in DEPTHS} for name in retrievers}
    starts = range(0, len(task.user_ids), USERS_AT_ONCE)
    for start in track(starts, f"{task.name}, {len(task.user_ids):,} users", console=console, transient=True):
        part = slice(start, start + USERS_AT_ONCE)
        profiles = reader.profiles_as_of(task.user_ids[part], task.as_of[part].tolist())
        users = stages.lookup.lookup(profiles, task.as_of[part])
        next(iter(retrievers.values())).retrieve(users, plain_requests(task.as_of[part], task.exclude_seen, DEPTHS[0]))
        wanted = [wanted_keys(view, task, start + user) for user in range(len(profiles))]
        for name, retriever in retrievers.items():
            for depth in DEPTHS:
                found, cost = timed(retriever, users, task, part, depth)
                recalls[name][depth] += shares(found, wanted)
                costs[name][depth].append(cost)
    return {name: {depth: np.array(values) for depth, values in each.items()} for name, each in recalls.items()}, costs


def timed(retriever: Retriever, users: UserBatch, task: Task, part: slice, depth: int) -> tuple[list[Longs], float]:
    """Item keys of each user, and CPU milliseconds a user."""
    request = plain_requests(task.as_of[part], task.exclude_seen, depth)
    start = time.process_time()
    found = retriever.retrieve(users, request)
    took = 1000 * (time.process_time() - start) / len(users.now)
    return np.split(found.candidate_item, found.candidate_offsets[1:-1]), took


def wanted_keys(view: CatalogueView, task: Task, user: int) -> tuple[Longs, int]:
    """Keys of the wanted items that the catalogue knows, and how many were wanted in all."""
    ids = task.relevant_ids[task.relevant_offsets[user] : task.relevant_offsets[user + 1]]
    rows = [view.row_of_id(item_id) for item_id in ids]
    return view.keys[[row for row in rows if row is not None]], len(ids)


def shares(found: Sequence[Longs], wanted: Sequence[tuple[Longs, int]]) -> list[float]:
    """The share of the wanted items that was found, by user."""
    return [float(np.isin(keys, own).sum()) / number for own, (keys, number) in zip(found, wanted, strict=True)]


def by_depth(values: ByDepth, summary: Callable[[Any], float]) -> dict[str, dict[str, float]]:
    return {name: {str(depth): summary(one) for depth, one in each.items()} for name, each in values.items()}


def show(console: Console, result: Mapping[str, Any]) -> None:
    """One table a task."""
    title = f"{result['data']}, {result['task']}, {result['users']:,} users"
    table = Table("candidates", *(f"recall@{depth}" for depth in DEPTHS), "CPU ms a user, 320", title=title)
    for name, recall in result["recall"].items():
        cost = result["cpu_ms_per_user"][name]["320"]
        table.add_row(name, *(f"{recall[str(depth)]:.4f}" for depth in DEPTHS), f"{cost:.2f}")
    console.print(table)
    for depth, (mean, low, high) in result["gain_of_the_pool"].items():
        console.print(f"  gain of the pool at {depth}: {mean:+.4f} ({low:+.4f} to {high:+.4f})", highlight=False)


if __name__ == "__main__":
    typer.run(main)

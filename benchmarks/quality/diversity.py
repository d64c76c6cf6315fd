"""What `diversity` and `calibration` buy and cost: a curve of each over held-out requests, and the time they take.

    python -m benchmarks.quality.diversity folder/online-retail folder/movietweetings-142k

Each folder needs a home under `--state` that `attune run` has filled from it. The candidates and scores of every
held-out request are computed once; the lists are then made by the same function that serves, and compared with the
whole reranker's on the first requests.
"""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from interest.batch import Doubles, Floats, Longs, UserBatch
from interest.errors import InvalidConfig
from interest.store.open import open_reader
from interest.store.protocol import StoreReader
from ranking.batch import plain_wishes
from ranking.calibration import Mixes, divergence, item_categories, user_mixes
from ranking.diversity import POOL, ScoreOrder, compile_ahead, diversify
from ranking.evaluation import padded_ranking, ranking_metrics
from ranking.list_metrics import beyond_accuracy
from ranking.offline import USERS_AT_ONCE, OfflineStages, load_stages, plain_requests
from ranking.release import ModelRepository
from ranking.tasks import Task, shared_tasks

RESULTS = Path("benchmarks/results/diversity.json")
WISHES = tuple(step / 10 for step in range(11))
K = 10
TIMED_ROUNDS = 5
SHORT = {"ndcg": f"nDCG@{K}", "intra_list_diversity": "ILD", "divergence": "KL"}


@dataclass(frozen=True, slots=True)
class Pools:
    """The best `POOL` candidates of up to `USERS_AT_ONCE` requests, as the reranker orders them."""

    ranked: ScoreOrder
    rows: Longs  # of the catalogue
    mixes: Mixes

    def lists(self, content: Floats, diversity: float, calibration: float) -> Longs:
        """int64 [users, K] of item rows, -1 padded."""
        users = len(self.ranked.offsets) - 1
        wishes = (np.full(users, diversity), np.full(users, calibration))
        order = diversify(self.ranked, self.rows, content, np.full(users, K), *wishes, self.mixes)
        return padded_ranking(self.ranked.offsets, self.rows[order], K)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One task's pools and everything that its lists are judged by."""

    pools: list[Pools]
    content: Floats
    relevant_offsets: Longs
    relevant: Longs  # item rows; those outside the catalogue are above every row
    counts: Doubles  # [rows] users who had to do with the item
    users: int

    def point(self, diversity: float, calibration: float) -> dict[str, float]:
        ranked = np.concatenate([pools.lists(self.content, diversity, calibration) for pools in self.pools])
        distance, place = [], 0
        for pools in self.pools:
            users = len(pools.ranked.offsets) - 1
            distance.append(divergence(ranked[place : place + users], pools.mixes))
            place += users
        known = np.concatenate(distance)
        known = known[~np.isnan(known)]
        ndcg = ranking_metrics(ranked, self.relevant_offsets, self.relevant, K).ndcg.mean()
        found = {"diversity": diversity, "calibration": calibration, "ndcg": float(ndcg)}
        found |= asdict(beyond_accuracy(ranked, self.content, self.counts, self.users))
        return found | ({"divergence": float(known.mean())} if len(known) else {})


def main(
    data: Annotated[list[Path], typer.Argument(help="Folders with validation.parquet.")],
    state: Annotated[Path, typer.Option(help="Where `attune run` keeps database and models.")] = Path(".attune"),
    output: Path = RESULTS,
) -> None:
    """Measure, print and write every curve."""
    console = Console()
    where = machine()
    compile_ahead()
    results = [result for folder in data for result in measure(folder, state / folder.resolve().name)]
    for result in results:
        show(console, result)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": where, "k": K, "pool": POOL, "results": results}, indent=1) + "\n")
    console.print(f"Written to {output}", highlight=False)


def measure(folder: Path, home: Path) -> Iterator[dict[str, Any]]:
    """The curves of each task of one data folder."""
    with closing(open_reader(f"sqlite:///{(home / 'attune.db').resolve()}")) as reader:
        repository = ModelRepository(home / "models")
        release = repository.latest()
        if release is None:
            raise InvalidConfig(f"{home}: no release; `attune run --data {folder}` makes one")
        stages = load_stages(reader, repository, release)
        for task in shared_tasks(folder):
            judged = evaluation(reader, stages, task)
            curves = {"diversity": [judged.point(wish, 0.0) for wish in WISHES]}
            if any(len(pools.mixes.share) for pools in judged.pools):
                curves["calibration"] = [judged.point(0.0, wish) for wish in WISHES]
            times = {name: milliseconds(judged, *wish) for name, wish in TIMED.items()}
            known = {"data": folder.resolve().name, "task": task.name, "users": len(task.user_ids)}
            yield {**known, **curves, "ms_per_user": times}


TIMED = {"diversity": (0.5, 0.0), "calibration": (0.0, 0.5), "both": (0.5, 0.5)}


def milliseconds(judged: Evaluation, diversity: float, calibration: float) -> dict[str, float]:
    """Milliseconds of one core a user, within batches of 64: median and least over all full batches and rounds."""
    times = []
    for _ in range(TIMED_ROUNDS):
        for pools in judged.pools:
            users = len(pools.ranked.offsets) - 1
            start = time.perf_counter()
            pools.lists(judged.content, diversity, calibration)
            times.append(1000 * (time.perf_counter() - start) / users)
    return {"median": statistics.median(times), "least": min(times)}


def evaluation(reader: StoreReader, stages: OfflineStages, task: Task) -> Evaluation:
    """Rank every request of a task once."""
    view = stages.catalogue.view()
    pools = []
    for start in range(0, len(task.user_ids), USERS_AT_ONCE):
        part = slice(start, start + USERS_AT_ONCE)
        profiles = reader.profiles_as_of(task.user_ids[part], task.as_of[part].tolist())
        users = stages.lookup.lookup(profiles, task.as_of[part])
        pools.append(_pools(stages, users, task, part, check=start == 0))
    events = reader.event_columns()
    pairs = np.unique(np.stack([events.user_key, events.item_key]), axis=1)
    rows = view.rows(pairs[1])
    found = [view.row_of_id(item_id) for item_id in task.relevant_ids]
    relevant = np.array([len(view) if row is None else row for row in found], dtype=np.int64)
    counts = np.bincount(rows[rows >= 0], minlength=len(view)).astype(np.float64)
    return Evaluation(pools, view.content, task.relevant_offsets, relevant, counts, len(np.unique(pairs[0])))


def _pools(stages: OfflineStages, users: UserBatch, task: Task, part: slice, check: bool) -> Pools:
    view, now = stages.catalogue.view(), task.as_of[part]
    candidates = stages.retriever.retrieve(users, plain_requests(now, task.exclude_seen, stages.candidates))
    ranked = stages.reranker.rank(users, candidates, np.full(len(now), POOL), view)
    free = np.zeros(len(ranked.ranked_item), dtype=np.bool_)  # nobody in these logs mutes anything
    order = ScoreOrder(ranked.ranked_offsets, np.arange(len(free)), ranked.ranked_score, free)
    pools = Pools(order, view.rows(ranked.ranked_item), user_mixes(users, view, item_categories(view)))
    if check:
        wishes = replace(plain_wishes(len(now)), diversity=np.full(len(now), 0.5), calibration=np.full(len(now), 0.2))
        served = stages.reranker.rank(users, candidates, np.full(len(now), K), view, wishes)
        whole = padded_ranking(served.ranked_offsets, view.rows(served.ranked_item), K)
        np.testing.assert_array_equal(pools.lists(view.content, 0.5, 0.2), whole)
    return pools


def show(console: Console, result: dict[str, Any]) -> None:
    """One table a curve, and where diversity within the list does not rise with the wish for it."""
    for name in ("diversity", "calibration"):
        points = result.get(name, [])
        if not points:
            continue
        metrics = [key for key in points[0] if key not in ("diversity", "calibration")]
        table = Table(
            name,
            *(SHORT.get(metric, metric) for metric in metrics),
            title=f"{result['data']}, {result['task']}, {result['users']:,} users",
        )
        for point in points:
            table.add_row(f"{point[name]:.1f}", *(f"{point[metric]:.4f}" for metric in metrics))
        console.print(table)
    rises = np.diff([point["intra_list_diversity"] for point in result["diversity"]])
    for step in np.flatnonzero(rises <= 0):
        console.print(f"  diversity within the list falls from {WISHES[step]} to {WISHES[step + 1]}", highlight=False)
    for name, times in result["ms_per_user"].items():
        console.print(f"  {name}: {times['median']:.3f} ms a user ({times['least']:.3f} at least)", highlight=False)


if __name__ == "__main__":
    typer.run(main)

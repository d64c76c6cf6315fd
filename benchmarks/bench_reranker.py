"""What reranking 320 candidates costs for one user inside a batch of 64: LightGBM's predict beside the compiled trees.

    python -m benchmarks.bench_reranker --state .attune/online-retail

Users, candidates and features are those of a folder that `attune run` has filled; the trees are those of its release,
and twice as many fitted here, on chance labels, to the rows that are then scored. The unit is milliseconds of one core
a user: CPU time of the process, since machines are shared, by rounds in which the contestants take turns.
"""

import json
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated

import lightgbm
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from interest.batch import UserBatch
from interest.store.open import open_reader
from interest.store.protocol import StoreReader
from ranking.batch import CandidateBatch
from ranking.compiled_trees import CompiledTrees
from ranking.features import make_features
from ranking.item_statistics import ItemStatistics
from ranking.lambdamart import BoosterSettings, RankingData, fit_booster, predict
from ranking.offline import OfflineStages, load_stages, plain_requests
from ranking.release import ModelRepository, Release
from ranking.reranker import MODEL_FILE, Reranker

RESULTS = Path("benchmarks/results/reranker.json")
USERS = 64
CANDIDATES = 320
COUNT = 10  # items that rank returns to each user
LARGE = BoosterSettings(trees=2 * BoosterSettings().trees)

Contestants = dict[str, Callable[[], object]]


def main(
    state: Annotated[Path, typer.Option(help="A folder with attune.db and models/, as `attune run` leaves it.")],
    rounds: int = 20,
    output: Path = RESULTS,
) -> None:
    """Measure and print a table."""
    console, where = Console(), machine()
    repository = ModelRepository(state / "models")
    with closing(open_reader(f"sqlite:///{(state / 'attune.db').resolve()}")) as reader:
        release = repository.latest()
        if release is None or "reranker" not in release.models:
            raise typer.BadParameter(f"{state}: its newest release has no reranker: train on more events")
        stages = load_stages(reader, repository, release)
        users, candidates = batch(reader, stages)
    contestants, shapes, compile_s = prepare(stages, users, candidates, released_booster(repository, release))
    results = measure(contestants, rounds)
    rows = len(candidates.candidate_item)
    report = {
        "machine": where,
        "state": state.name,
        "users": USERS,
        "rows": rows,
        "rounds": rounds,
        "trees": shapes,
        "compile_s": compile_s,
        "ms_of_a_core_per_user": results,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    table = Table(
        f"ms of a core a user ({rows / USERS:.0f} candidates, batch of {USERS})", "median", "lowest", "highest"
    )
    for name, taken in results.items():
        table.add_row(name, *(f"{number:.3f}" for number in (statistics.median(taken), min(taken), max(taken))))
    console.print(table)


def batch(reader: StoreReader, stages: OfflineStages) -> tuple[UserBatch, CandidateBatch]:
    """USERS of the store as of its last event, and their CANDIDATES each."""
    now = np.full(USERS, reader.event_columns().timestamp.max())
    users = stages.lookup.lookup(reader.profiles(reader.user_ids(USERS)), now)
    return users, stages.retriever.retrieve(users, plain_requests(now, False, CANDIDATES))


def released_booster(repository: ModelRepository, release: Release) -> lightgbm.Booster:
    version = repository.open_version("reranker", release.models["reranker"])
    return lightgbm.Booster(model_str=(version.folder / MODEL_FILE).read_text("utf-8"))


def prepare(
    stages: OfflineStages, users: UserBatch, candidates: CandidateBatch, released: lightgbm.Booster
) -> tuple[Contestants, dict[str, str], float]:
    """What takes turns, by name; the shapes of the models; the seconds of compiling or loading the machine code."""
    view, count = stages.catalogue.view(), np.full(USERS, COUNT)
    known = ItemStatistics.of(stages.lookup.model, view)
    features = partial(make_features, users, candidates, view, stages.popularity, known)
    values = features().values
    labels = (np.random.default_rng(0).random(len(values)) < 0.05).astype(np.float32)
    large = fit_booster(RankingData(values, labels, np.diff(candidates.candidate_offsets)), LARGE, seed=0)
    contestants: Contestants = {"make_features": features}
    shapes, compile_s = {}, 0.0
    for name, booster in (("released", released), ("large", large)):
        trees = CompiledTrees.from_booster(booster)
        compile_s = trees.compile_s
        if trees.predict(values).tobytes() != predict(booster, values, 1).tobytes():
            raise ValueError(f"{name} trees: scores differ from LightGBM's")
        reranker = Reranker(trees, stages.popularity, known)
        shapes[name] = f"{booster.num_trees()} trees over {trees.features} features"
        contestants |= {
            f"LightGBM predict, {name}": partial(predict, booster, values, 1),
            f"CompiledTrees.predict, {name}": partial(trees.predict, values),
            f"Reranker.rank, {name}": partial(reranker.rank, users, candidates, count, view),
        }
    return contestants, shapes, compile_s


def measure(contestants: Contestants, rounds: int) -> dict[str, list[float]]:
    """CPU milliseconds a user of each round, after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            if number:
                taken[name].append(1000 * (time.process_time() - start) / USERS)
    return taken


if __name__ == "__main__":
    typer.run(main)

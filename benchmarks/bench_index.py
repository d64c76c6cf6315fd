"""What each kind of item index finds, how fast, and what it costs: recall, queries/s of one core, memory, build time.

    python -m benchmarks.bench_index --items 10000 --items 100000 --items 1000000 --catalogue DATA/goodbooks-catalogue

Every size and kind runs in a process of its own with one thread. The flat kind gives the exact answers the others are
compared with. Results are written after each size; sizes that a run leaves out keep their older results.
"""

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.index_data import DESCRIPTION, make_sample
from interest.batch import Floats, Longs
from ranking.index import IndexSettings, ItemIndex, Mask
from ranking.index_settings import FLAT, HNSW, KINDS, PQ
from ranking.ngram import NgramEncoder

RESULTS = Path("benchmarks/results/index.json")
DIMS, K, BATCH = 256, 100, 64
QUERIES = 2 * BATCH
SINGLES = 48  # queries that are timed one a call
SHARES = (1.0, 0.5, 0.05, 0.005)  # of the items eligible, at random
HNSW_MOST = 20_000  # items; its graph is built 20 times slower than the others
MERGED_KIND, MERGE_MOST = PQ, 100_000  # where a merge is measured: it is another build
SEED = 20
REAL = "goodbooks titles"


def main(
    items: Annotated[list[int] | None, typer.Option(help="Sizes to measure, one a --items.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Folder with items.parquet: measure its titles too.")] = None,
    output: Path = RESULTS,
) -> None:
    """Measure and print a table."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the processes that measure
    console = Console()
    results: dict[str, Any] = json.loads(output.read_text())["results"] if output.exists() else {}
    makers: dict[str, Callable[[Path], None]] = {f"{size:,}": _synthetic(size) for size in items or [10_000, 100_000]}
    if catalogue is not None:
        makers[REAL] = _titles(catalogue)
    for name, make in makers.items():
        where = machine()  # before this run adds its own load
        with tempfile.TemporaryDirectory() as scratch:
            _alone(make, Path(scratch))
            size = len(np.load(Path(scratch) / "vectors.npy", mmap_mode="r"))
            kinds = [kind for kind in KINDS if kind != HNSW or size <= HNSW_MOST]
            measured = {}
            for kind in kinds:
                measured[kind] = _alone(measure, Path(scratch), kind)
                console.print(f"{name} {kind}: done", highlight=False)
        chosen = IndexSettings().kind_for(size, DIMS)
        results[name] = {"machine": where, "chosen_by_size": chosen, "kinds": measured}
        report = {"dims": DIMS, "k": K, "queries": QUERIES, "seed": SEED, "data": DESCRIPTION, "results": results}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(report, indent=1) + "\n")
        show(console, name, measured)


def measure(folder: Path, kind: str) -> dict[str, Any]:
    """Everything about one kind; the flat one leaves its answers in `folder`."""
    vectors, queries = np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    keys = np.arange(len(vectors))
    rng = np.random.default_rng(SEED)
    index = ItemIndex(vectors.shape[1], threads=1, settings=IndexSettings(kind=kind))
    start = time.perf_counter()
    index.build(keys, vectors)
    result: dict[str, Any] = {"build_s": time.perf_counter() - start}
    del vectors
    result |= _memory() | _on_disk(index, folder / kind)
    result["build"] = index.report.to_json()
    for share in SHARES:
        eligible = None if share == 1 else rng.random(len(keys)) < share
        result[f"eligible {100 * share:g} %"] = _searches(index, queries, eligible, folder / f"exact-{share}.npy")
    if index.report.kind == MERGED_KIND and len(keys) <= MERGE_MOST:
        result["during_merge"] = _during_merge(index, queries, np.load(folder / "vectors.npy", mmap_mode="r"), rng)
    return result


def _searches(index: ItemIndex, queries: Floats, eligible: Mask | None, exact: Path) -> dict[str, float]:
    """Recall of the exact best, rates a second and milliseconds a query; what is timed has run before."""
    index.search(queries[:4], K, eligible)
    start = time.perf_counter()
    found = [index.search(queries[first : first + BATCH], K, eligible)[0] for first in range(0, QUERIES, BATCH)]
    batch_s = time.perf_counter() - start
    singles = _singles(index, queries, eligible, SINGLES)
    answers: Longs = np.concatenate(found)
    if index.report.kind == FLAT and not exact.exists():
        np.save(exact, answers)
    best = np.load(exact)
    hits = [len(np.intersect1d(mine[mine >= 0], right[right >= 0])) for mine, right in zip(answers, best, strict=True)]
    return {
        "recall_at_100": sum(hits) / int((best >= 0).sum()),
        "queries_per_s_batch_64": QUERIES / batch_s,
        "queries_per_s_batch_1": len(singles) / sum(singles),
        "p50_ms": 1000 * float(np.median(singles)),
        "p99_ms": 1000 * float(np.quantile(singles, 0.99)),
    }


def _singles(index: ItemIndex, queries: Floats, eligible: Mask | None, count: int) -> list[float]:
    """Seconds of each of `count` searches for one query."""
    taken = []
    for place in range(count):
        query = queries[place % QUERIES][None, :]
        start = time.perf_counter()
        index.search(query, K, eligible)
        taken.append(time.perf_counter() - start)
    return taken


def _during_merge(index: ItemIndex, queries: Floats, stored: Floats, rng: np.random.Generator) -> dict[str, float]:
    """What searches take while as many items as start a merge are merged in the background."""
    fresh = IndexSettings().large_delta_rows + 1
    vectors = (
        stored[rng.integers(len(stored), size=fresh)] + stored[rng.integers(len(stored), size=fresh)]
    ) / np.float32(2)
    start = time.perf_counter()
    index.upsert(np.arange(len(index), len(index) + fresh), vectors)
    upsert_s = time.perf_counter() - start
    taken: list[float] = []
    while not index.settle(0):
        taken += _singles(index, queries, None, 1)
    merge_s = time.perf_counter() - start
    p50, p99, worst = (1000 * float(np.quantile(taken, quantile)) for quantile in (0.5, 0.99, 1.0))
    return {"upsert_s": upsert_s, "merge_s": merge_s, "p50_ms": p50, "p99_ms": p99, "max_ms": worst}


def _memory() -> dict[str, float]:
    """MiB: resident, and of that what is this process' own, without mapped files."""
    memory = psutil.Process().memory_info()
    return {"rss_mib": memory.rss / 2**20, "own_mib": (memory.rss - memory.shared) / 2**20}


def _on_disk(index: ItemIndex, folder: Path) -> dict[str, float]:
    index.save(folder)
    total = sum(path.stat().st_size for path in folder.iterdir())
    start = time.perf_counter()
    ItemIndex.load(folder, index.dims)
    load_s = time.perf_counter() - start
    shutil.rmtree(folder)
    return {"index_bytes": total, "load_s": load_s}


def _synthetic(size: int) -> Callable[[Path], None]:
    return _Synthetic(size)


def _titles(catalogue: Path) -> Callable[[Path], None]:
    return _Titles(catalogue)


class _Synthetic:
    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, folder: Path) -> None:
        sample = make_sample(self.size, QUERIES, DIMS, SEED)
        np.save(folder / "vectors.npy", sample.vectors)
        np.save(folder / "queries.npy", sample.queries)


class _Titles:
    """Real vectors: the n-gram encoder's of the titles and authors; a query is the mean of 1 to 5 of one author."""

    def __init__(self, catalogue: Path) -> None:
        self.catalogue = catalogue

    def __call__(self, folder: Path) -> None:
        rng = np.random.default_rng(SEED)
        books = pq.read_table(self.catalogue / "items.parquet", columns=["title", "authors"]).to_pydict()
        texts = [f"{title} {authors}" for title, authors in zip(books["title"], books["authors"], strict=True)]
        vectors = NgramEncoder.fit(texts, DIMS, rng).encode(texts)
        by_author: dict[str, list[int]] = {}
        for row, authors in enumerate(books["authors"]):
            by_author.setdefault(authors, []).append(row)
        readers = rng.choice(list(by_author), size=QUERIES, replace=False)
        queries = np.stack(
            [vectors[by_author[author][: 1 + place % 5]].mean(axis=0) for place, author in enumerate(readers)]
        )
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "queries.npy", queries.astype(np.float32))


def _alone(work: Callable[..., Any], *args: Any) -> Any:
    """Run in a fresh process, so that its memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)


def show(console: Console, name: str, measured: dict[str, Any]) -> None:
    """A row a metric, a column a kind."""
    table = Table(name, *measured, title=f"{name}, one core")
    everything = f"eligible {100 * SHARES[0]:g} %"
    for metric in measured[FLAT][everything]:
        table.add_row(metric, *(f"{one[everything][metric]:,.4g}" for one in measured.values()))
    for share in SHARES[1:]:
        label = f"eligible {100 * share:g} %"
        cells = (f"{one[label]['recall_at_100']:.4f}, {one[label]['p50_ms']:.2f} ms" for one in measured.values())
        table.add_row(f"{label}: recall, p50", *cells)
    for metric in ("build_s", "rss_mib", "index_bytes", "load_s"):
        table.add_row(metric, *(f"{one[metric]:,.4g}" for one in measured.values()))
    merging = (one.get("during_merge") for one in measured.values())
    table.add_row("during merge: p50, max", *(f"{m['p50_ms']:.2f}, {m['max_ms']:.1f} ms" if m else "" for m in merging))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

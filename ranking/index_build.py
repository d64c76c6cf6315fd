"""From vectors to a main index: the kind by size, tuned by measurement, the next simpler one when it falls short."""

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from interest.batch import Floats, Longs
from ranking.index_cells import Cells, make_cells
from ranking.index_curve import Curve
from ranking.index_flat import FlatMain, Main
from ranking.index_hnsw import HnswMain, make_graph
from ranking.index_ivf import IvfMain, PqMain, make_codes
from ranking.index_kernels import Take, empty_vectors, filled
from ranking.index_settings import FLAT, HNSW, IVF, PQ, IndexSettings
from ranking.index_tuning import DEPTHS, Trial, make_trials, needed_shares, tuned

LEAST_ROWS = 64  # fewer teach neither cells nor codes anything
CODES_MISS = 0.25  # of the neighbours that may be missed: by the codes; the rest by the cells
FIRST_SHORTLIST = Curve((DEPTHS[0],), (400.0,), growth=0.7)  # codes confuse few near rows and many far ones
FIRST_BREADTH = Curve((DEPTHS[0],), (128.0,), growth=0.8)

log = logging.getLogger("attune.index")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What was built, and what it reached."""

    kind: str
    asked: str  # the kind by size or setting
    items: int
    target_recall: float
    recall: dict[int, float]  # by depth, on `held_out_queries` queries that nothing was tuned on; empty when exact
    held_out_queries: int
    seconds: float
    note: str  # why the kind is not the one asked for

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Built:
    """Row i of `vectors` is row order[i] of the caller."""

    main: Main
    vectors: Floats
    order: Longs
    report: BuildReport


@dataclass(frozen=True, slots=True)
class _Candidate:
    main: Main
    vectors: Floats
    order: Longs
    recall: dict[int, float]
    held_out: int


def build_main(take: Take, rows: int, dims: int, settings: IndexSettings, queries: Floats | None = None) -> Built:
    """An index over `rows` vectors that reaches the settings' recall, or the flat one, and a report that says so.

    `queries` float32 [n, D]: of real users, to tune and check with; sampled from the vectors without them.
    """
    start = time.perf_counter()
    asked = settings.kind_for(rows, dims)
    notes = []
    found = None
    if asked != FLAT and 0 < rows < LEAST_ROWS:
        notes.append(f"{asked}: {rows} items are too few to learn from, {LEAST_ROWS} are needed")
    elif asked == HNSW and rows:
        found = _graph(take, rows, dims, settings, queries)
        notes += [] if found else [_short(HNSW, settings)]
    elif asked != FLAT and rows:
        found = _cells(take, rows, dims, settings, queries, asked, notes)
    if found is None:
        everything = np.arange(rows)
        found = _Candidate(FlatMain(), filled(_space(rows, dims, settings), take, everything), everything, {}, 0)
    report = BuildReport(
        kind=found.main.kind,
        asked=asked,
        items=rows,
        target_recall=settings.target_recall,
        recall=found.recall,
        held_out_queries=found.held_out,
        seconds=time.perf_counter() - start,
        note="; ".join(notes),
    )
    for note in notes:
        log.warning("index of %d items is %s: %s", rows, report.kind, note)
    return Built(found.main, found.vectors, found.order, report)


def _cells(
    take: Take,
    rows: int,
    dims: int,
    settings: IndexSettings,
    queries: Floats | None,
    asked: str,
    notes: list[str],
) -> _Candidate | None:
    rng = np.random.default_rng(settings.seed)
    cells, order = make_cells(take, rows, rng)
    vectors = filled(_space(rows, dims, settings), take, order)
    trials = make_trials(vectors, rng, settings.tuning_queries, queries)
    reached: tuple[Main, dict[int, float]] | None = None
    if asked == PQ:
        reached = tuned(_coded(cells, vectors, trials[0], settings, rng), vectors, trials, settings.target_recall)
        notes += [] if reached else [_short(PQ, settings)]
    if reached is None:
        start = IvfMain(cells, needed_shares(cells, trials[0], settings.target_recall))
        reached = tuned(start, vectors, trials, settings.target_recall)
        notes += [] if reached else [_short(IVF, settings)]
    return None if reached is None else _Candidate(reached[0], vectors, order, reached[1], len(trials[1].queries))


def _coded(cells: Cells, vectors: Floats, trial: Trial, settings: IndexSettings, rng: np.random.Generator) -> PqMain:
    """The cells may miss most of what may be missed: more codes of a list are cheaper to score than more cells."""
    probing = needed_shares(cells, trial, settings.target_recall + CODES_MISS * (1 - settings.target_recall))
    return PqMain(cells, probing, make_codes(cells, vectors, rng), FIRST_SHORTLIST)


def _graph(take: Take, rows: int, dims: int, settings: IndexSettings, queries: Floats | None) -> _Candidate | None:
    graph = make_graph(take, rows, dims)
    everything = np.arange(rows)
    vectors = filled(_space(rows, dims, settings), take, everything)
    trials = make_trials(vectors, np.random.default_rng(settings.seed), settings.tuning_queries, queries)
    reached = tuned(HnswMain(graph, FIRST_BREADTH), vectors, trials, settings.target_recall)
    if reached is None:
        return None
    return _Candidate(reached[0], vectors, everything, reached[1], len(trials[1].queries))


def _space(rows: int, dims: int, settings: IndexSettings) -> Floats:
    return empty_vectors(rows, dims, settings.spill_folder, settings.spills(rows, dims))


def _short(kind: str, settings: IndexSettings) -> str:
    return f"{kind}: did not reach recall {settings.target_recall} at an effort worth having"

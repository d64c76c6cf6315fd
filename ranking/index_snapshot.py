"""What readers of an index see: an immutable state. Every change makes a new one that shares what did not change."""

from dataclasses import dataclass

import numpy as np

from interest.batch import Floats, Longs
from ranking.index_build import BuildReport, Built, build_main
from ranking.index_flat import Main
from ranking.index_kernels import Mask, pairs
from ranking.index_settings import IndexSettings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Main rows first, then delta rows. A row that was replaced or removed stays, dead, until the next merge."""

    main: Main
    report: BuildReport  # of `main`
    main_vectors: Floats  # [m, D]
    delta_vectors: Floats  # [n - m, D]
    keys: Longs  # [n] item keys
    alive: Mask  # [n]
    row_of_key: Longs  # row of the living vector by item key, -1 without one

    def backlog(self) -> int:
        """Rows that a merge would index or drop."""
        return max(len(self.delta_vectors), len(self.alive) - int(np.count_nonzero(self.alive)))

    def rows(self, keys: Longs) -> Longs:
        """Row of each key, -1 without one, int64 of the same shape."""
        inside = (keys >= 0) & (keys < len(self.row_of_key))
        rows = np.full(keys.shape, -1, dtype=np.int64)
        rows[inside] = self.row_of_key[keys[inside]]
        return rows

    def eligible_rows(self, eligible: Mask) -> Mask:
        """`eligible` by row instead of by key, bool [n]; keys beyond its end are not eligible."""
        missing = len(self.row_of_key) - len(eligible)
        whole = np.concatenate([eligible, np.zeros(missing, dtype=bool)]) if missing > 0 else eligible
        rows: Mask = whole[self.keys]
        return rows

    def scores(self, queries: Floats, rows: Longs) -> Floats:
        """Inner products, float32 [B, n], of query b with rows[b]; NaN where row < 0."""
        size = len(self.main_vectors)
        scores = pairs(queries, self.main_vectors, np.where(rows < size, rows, -1))
        if len(self.delta_vectors):
            in_delta = rows >= size
            others = pairs(queries, self.delta_vectors, np.where(in_delta, rows - size, -1))
            scores = np.where(in_delta, others, scores)
        scores[rows < 0] = np.nan
        return scores

    def vectors(self, rows: Longs) -> Floats:
        """A copy of the vectors of these rows, float32 [n, D]."""
        size = len(self.main_vectors)
        taken = np.empty((len(rows), self.main_vectors.shape[1]), dtype=np.float32)
        taken[rows < size] = self.main_vectors[rows[rows < size]]
        taken[rows >= size] = self.delta_vectors[rows[rows >= size] - size]
        return taken


def built(keys: Longs, vectors: Floats, settings: IndexSettings, queries: Floats | None = None) -> Snapshot:
    """A snapshot of these items alone."""
    made = build_main(lambda rows: vectors[rows], len(keys), vectors.shape[1], settings, queries)
    return _of_main(made, keys[made.order])


def merged(old: Snapshot, settings: IndexSettings, queries: Floats | None = None) -> Snapshot:
    """The same items, all of them indexed. Reads `old` in parts: at no time are there more than two copies."""
    living = np.flatnonzero(old.alive)
    dims = old.main_vectors.shape[1]
    made = build_main(lambda rows: old.vectors(living[rows]), len(living), dims, settings, queries)
    return _of_main(made, old.keys[living[made.order]])


def carried_over(fresh: Snapshot, old: Snapshot, now: Snapshot) -> Snapshot:
    """`fresh`, which was merged from `old`, with what changed from `old` to `now`: rows appended, rows that died."""
    died = old.alive & ~now.alive[: len(old.alive)]
    later = slice(len(old.keys), None)
    known = now.alive[later]
    changed = with_changes(fresh, np.zeros(0, dtype=np.int64), now.delta_vectors[:0], removed=old.keys[died])
    offset = len(now.delta_vectors) - len(known)
    return with_changes(changed, now.keys[later][known], now.delta_vectors[offset:][known])


def with_changes(old: Snapshot, keys: Longs, vectors: Floats, removed: Longs | None = None) -> Snapshot:
    """`old` with these items added or replaced, and those of `removed` taken out."""
    gone = keys if removed is None else np.concatenate([keys, removed])
    rows = old.rows(gone)
    alive = np.concatenate([old.alive, np.ones(len(keys), dtype=bool)])
    alive[rows[rows >= 0]] = False
    table = np.full(max(len(old.row_of_key), int(keys.max(initial=-1)) + 1), -1, dtype=np.int64)
    table[: len(old.row_of_key)] = old.row_of_key
    table[gone[rows >= 0]] = -1
    table[keys] = np.arange(len(old.keys), len(old.keys) + len(keys))
    return Snapshot(
        old.main,
        old.report,
        old.main_vectors,
        np.concatenate([old.delta_vectors, vectors.astype(np.float32)]),
        np.concatenate([old.keys, keys]),
        alive,
        table,
    )


def of_parts(main: Main, report: BuildReport, vectors: Floats, keys: Longs) -> Snapshot:
    """A snapshot whose items are all indexed; row i has keys[i]."""
    table = np.full(int(keys.max(initial=-1)) + 1, -1, dtype=np.int64)
    table[keys] = np.arange(len(keys))
    alive = np.ones(len(keys), dtype=bool)
    return Snapshot(main, report, vectors, np.zeros((0, vectors.shape[1]), dtype=np.float32), keys, alive, table)


def _of_main(made: Built, keys: Longs) -> Snapshot:
    return of_parts(made.main, made.report, made.vectors, keys)

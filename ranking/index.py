"""ItemIndex: inner-product search over item vectors that change while they are searched, of a kind that suits them."""

import logging
from pathlib import Path
from threading import Condition, Thread
from typing import Self

import numpy as np

from interest.batch import Floats, Longs
from interest.errors import InvalidRelease
from ranking.index_build import BuildReport
from ranking.index_files import load_snapshot, save_snapshot
from ranking.index_kernels import Mask, use_threads
from ranking.index_search import best_rows
from ranking.index_settings import FLAT, IndexSettings
from ranking.index_snapshot import Snapshot, built, carried_over, merged, with_changes

__all__ = ["IndexSettings", "ItemIndex", "Mask", "merged"]

log = logging.getLogger("attune.index")


class ItemIndex:
    """Item keys (small non-negative integers) -> vectors.

    Writers take a lock; readers see one snapshot, swapped by one pointer. Scores are float32 inner products that do not
    depend on what else is in the call. Equal scores go by lower item key. A flat index is exact; the others find
    `settings.target_recall` of the best, and every property above holds for what they find.

    New vectors are scanned until they are merged. A flat index is merged by the writer, in milliseconds; any other in a
    thread, while the old state and everything that changes meanwhile are served.
    """

    def __init__(self, dims: int, threads: int = 1, settings: IndexSettings | None = None) -> None:
        """`threads`: of FAISS, for the whole process."""
        use_threads(threads)
        self.dims = dims
        self._settings = settings or IndexSettings()
        self._changed = Condition()
        self._merging = False
        self._builds = 0  # a merge that began before the latest `build` is dropped
        self._queries: Floats | None = None
        self._snapshot = built(np.zeros(0, dtype=np.int64), np.zeros((0, dims), dtype=np.float32), self._settings)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._snapshot.alive))

    @property
    def report(self) -> BuildReport:
        """What the main part is and what recall it was measured to have."""
        return self._snapshot.report

    def build(self, keys: Longs, vectors: Floats, queries: Floats | None = None) -> None:
        """Replace everything. `keys` int64 [n] without repeats, `vectors` float32 [n, D].

        `queries` float32 [q, D]: of real users, to tune an approximate kind with, now and at every merge.
        """
        self._check(vectors)
        if queries is not None:
            self._check(queries)
        with self._changed:
            self._queries = None if queries is None else queries.copy()
            self._builds += 1
            self._snapshot = built(keys, vectors, self._settings, self._queries)

    def upsert(self, keys: Longs, vectors: Floats) -> None:
        """Add or replace these items. `keys` int64 [n] without repeats, `vectors` float32 [n, D]."""
        self._check(vectors)
        with self._changed:
            self._swap(with_changes(self._snapshot, keys, vectors))

    def remove(self, keys: Longs) -> None:
        """Take these items out; unknown keys are ignored."""
        with self._changed:
            nothing = np.zeros((0, self.dims), dtype=np.float32)
            self._swap(with_changes(self._snapshot, keys[:0], nothing, removed=keys))

    def settle(self, timeout_s: float) -> bool:
        """Wait until no merge is under way; False when one still is after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._merging, timeout_s)

    def holds(self, keys: Longs) -> Mask:
        """True where an item has a vector, bool of the same shape."""
        return self._snapshot.rows(keys) >= 0

    def scores(self, queries: Floats, keys: Longs) -> Floats:
        """Inner products, float32 [B, n], of query b with the items of row b; NaN for an item without a vector.

        `queries` float32 [B, D], `keys` int64 [B, n].
        """
        self._check(queries)
        snapshot = self._snapshot
        return snapshot.scores(queries, snapshot.rows(keys))

    def search(
        self,
        queries: Floats,
        k: int,
        eligible: Mask | None = None,
        exclude_offsets: Longs | None = None,
        exclude_keys: Longs | None = None,
    ) -> tuple[Longs, Floats]:
        """The k best items of each query, best first: keys int64 [B, k] padded with -1, scores float32 [B, k] with NaN.

        `eligible` is a mask by item key (keys beyond its end are not eligible); `exclude_*` cuts item keys into one
        slice per query. Fewer than k come back only when fewer are eligible.
        """
        self._check(queries)
        snapshot = self._snapshot
        allowed = snapshot.alive if eligible is None else snapshot.alive & snapshot.eligible_rows(eligible)
        found_keys = np.full((len(queries), k), -1, dtype=np.int64)
        found_scores = np.full((len(queries), k), np.nan, dtype=np.float32)
        excluded = _excluded_rows(snapshot, len(queries), exclude_offsets, exclude_keys)
        found = best_rows(snapshot, queries, k, allowed, excluded, self._settings)
        for query, rows, scores in found:
            found_keys[query, : len(rows)] = snapshot.keys[rows]
            found_scores[query, : len(rows)] = scores
        return found_keys, found_scores

    def save(self, folder: Path) -> None:
        """Merge what is not, then write the index and a manifest that names its kind and its recall."""
        with self._changed:
            self._changed.wait_for(lambda: not self._merging)
            if self._snapshot.backlog():
                self._snapshot = merged(self._snapshot, self._settings, self._queries)
            snapshot = self._snapshot
        save_snapshot(snapshot, folder)

    @classmethod
    def load(cls, folder: Path, dims: int, threads: int = 1, settings: IndexSettings | None = None) -> Self:
        """Map what `save` wrote. Raises `InvalidRelease` when it is of another kind, width or length."""
        index = cls(dims, threads, settings)
        index._snapshot = load_snapshot(folder, dims)
        return index

    def _swap(self, snapshot: Snapshot) -> None:
        """Show a changed state, and merge it when it has grown too long. The caller holds the lock."""
        self._snapshot = snapshot
        living = int(np.count_nonzero(snapshot.alive))
        flat = snapshot.main.kind == FLAT and self._settings.kind_for(living, self.dims) == FLAT
        limit = self._settings.delta_rows if flat else self._settings.large_delta_rows
        if self._merging or snapshot.backlog() <= limit:
            return
        if flat:
            self._snapshot = merged(snapshot, self._settings)
            return
        self._merging = True
        Thread(target=self._merge, args=(snapshot, self._builds), name="merge-index", daemon=True).start()

    def _merge(self, old: Snapshot, builds: int) -> None:
        """In a thread of its own: everything is learned and measured anew, so that the recall stays as promised.

        It has the priority of every other thread: a slower one, put aside while it holds the interpreter, would have
        the searches wait for it.
        """
        fresh: Snapshot | None = None
        try:
            fresh = merged(old, self._settings, self._queries)
        except Exception:  # the old state serves on, and the next change tries again
            log.exception("an index of %d items could not be merged", len(old.keys))
        with self._changed:
            self._merging = False
            if fresh is not None and builds == self._builds:
                self._swap(carried_over(fresh, old, self._snapshot))
            self._changed.notify_all()

    def _check(self, vectors: Floats) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dims:
            raise InvalidRelease(f"vectors of shape {vectors.shape}: the index has {self.dims} dimensions")


def _excluded_rows(snapshot: Snapshot, queries: int, offsets: Longs | None, keys: Longs | None) -> list[Longs]:
    if offsets is None or keys is None:
        return [np.zeros(0, dtype=np.int64)] * queries
    rows = snapshot.rows(keys)
    slices = [rows[offsets[query] : offsets[query + 1]] for query in range(queries)]
    return [part[part >= 0] for part in slices]

"""ItemIndex: exact inner-product search over item vectors, the only file that knows FAISS."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from interest.batch import Floats, Longs
from interest.errors import InvalidRelease

Mask = npt.NDArray[np.bool_]

KIND = "flat"
DELTA_ROWS = 1_024  # newest rows that are scanned, not indexed; beyond this they are merged
SCAN_SHARE = 0.05  # below this share of eligible rows an exact scan beats the index
CHUNK_QUERIES = 16  # FAISS multiplies matrices from 20 queries on, and then a score depends on its neighbours
INDEX_FILE, MANIFEST_FILE = "items.faiss", "index.json"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Main rows first, then delta rows. A row that was replaced or removed stays, dead, until the next merge."""

    main: Any  # faiss.IndexFlatIP over the first rows
    main_vectors: Floats  # [m, D] the memory of `main`
    delta_vectors: Floats  # [n - m, D]
    keys: Longs  # [n] item keys
    alive: Mask  # [n]
    row_of_key: Longs  # row of the living vector by item key, -1 without one


class ItemIndex:
    """Item keys (small non-negative integers) -> vectors.

    Writers take a lock; readers see one snapshot, swapped by one pointer. Scores are float32 inner products that do not
    depend on what else is in the call. Equal scores go by lower item key.
    """

    def __init__(self, dims: int, threads: int = 1) -> None:
        """`threads`: of FAISS, for the whole process."""
        faiss.omp_set_num_threads(threads)
        self.dims = dims
        self._lock = Lock()
        self._snapshot = _built(np.zeros(0, dtype=np.int64), np.zeros((0, dims), dtype=np.float32))

    def __len__(self) -> int:
        return int(self._snapshot.alive.sum())

    def build(self, keys: Longs, vectors: Floats) -> None:
        """Replace everything. `keys` int64 [n] without repeats, `vectors` float32 [n, D]."""
        self._check(vectors)
        with self._lock:
            self._snapshot = _built(keys, vectors)

    def upsert(self, keys: Longs, vectors: Floats) -> None:
        """Add or replace these items. `keys` int64 [n] without repeats, `vectors` float32 [n, D]."""
        self._check(vectors)
        with self._lock:
            self._snapshot = _with_changes(self._snapshot, keys, vectors)

    def remove(self, keys: Longs) -> None:
        """Take these items out; unknown keys are ignored."""
        with self._lock:
            nothing = np.zeros((0, self.dims), dtype=np.float32)
            self._snapshot = _with_changes(self._snapshot, keys[:0], nothing, removed=keys)

    def holds(self, keys: Longs) -> Mask:
        """True where an item has a vector, bool of the same shape."""
        return _rows(self._snapshot, keys) >= 0

    def scores(self, queries: Floats, keys: Longs) -> Floats:
        """Inner products, float32 [B, n], of query b with the items of row b; NaN for an item without a vector.

        `queries` float32 [B, D], `keys` int64 [B, n].
        """
        self._check(queries)
        snapshot = self._snapshot
        return _scores(snapshot, queries, _rows(snapshot, keys))

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
        slice per query. Exact: fewer than k come back only when fewer are eligible.
        """
        self._check(queries)
        snapshot = self._snapshot
        allowed = snapshot.alive if eligible is None else snapshot.alive & _looked_up(eligible, snapshot.keys)
        found_keys = np.full((len(queries), k), -1, dtype=np.int64)
        found_scores = np.full((len(queries), k), np.nan, dtype=np.float32)
        excluded = _excluded_rows(snapshot, len(queries), exclude_offsets, exclude_keys)
        for query, rows, scores in _best_rows(snapshot, queries, k, allowed, excluded):
            found_keys[query, : len(rows)] = snapshot.keys[rows]
            found_scores[query, : len(rows)] = scores
        return found_keys, found_scores

    def save(self, folder: Path) -> None:
        """Write the FAISS file, merged, and its manifest."""
        folder.mkdir(parents=True, exist_ok=True)
        snapshot = self._snapshot
        keys = snapshot.keys[snapshot.alive]
        merged = faiss.IndexIDMap(faiss.IndexFlatIP(self.dims))
        merged.add_with_ids(_vectors(snapshot)[snapshot.alive], keys)
        faiss.write_index(merged, str(folder / INDEX_FILE))
        manifest = {"kind": KIND, "dims": self.dims, "items": len(keys)}
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest) + "\n")

    @classmethod
    def load(cls, folder: Path, dims: int, threads: int = 1) -> Self:
        """Read what `save` wrote. Raises `InvalidRelease` when it is of another kind, width or length."""
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
        stored = faiss.read_index(str(folder / INDEX_FILE))
        found = {"kind": KIND, "dims": stored.d, "items": stored.ntotal}
        if manifest != found or stored.d != dims:
            raise InvalidRelease(f"{INDEX_FILE}: holds {found}, {MANIFEST_FILE} says {manifest}, wanted dims {dims}")
        index = cls(dims, threads)
        flat = faiss.downcast_index(stored.index)
        index.build(faiss.vector_to_array(stored.id_map), _memory_of(flat))
        return index

    def _check(self, vectors: Floats) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dims:
            raise InvalidRelease(f"vectors of shape {vectors.shape}: the index has {self.dims} dimensions")


def _built(keys: Longs, vectors: Floats) -> _Snapshot:
    main = faiss.IndexFlatIP(vectors.shape[1])
    main.add(np.ascontiguousarray(vectors, dtype=np.float32))
    table = np.full(int(keys.max(initial=-1)) + 1, -1, dtype=np.int64)
    table[keys] = np.arange(len(keys))
    return _Snapshot(main, _memory_of(main), vectors[:0].copy(), keys.copy(), np.ones(len(keys), dtype=bool), table)


def _with_changes(old: _Snapshot, keys: Longs, vectors: Floats, removed: Longs | None = None) -> _Snapshot:
    gone = keys if removed is None else removed
    rows = _rows(old, gone)
    alive = old.alive.copy()
    alive[rows[rows >= 0]] = False
    all_keys = np.concatenate([old.keys, keys])
    all_alive = np.concatenate([alive, np.ones(len(keys), dtype=bool)])
    delta = np.concatenate([old.delta_vectors, vectors.astype(np.float32)])
    dead = len(all_alive) - int(all_alive.sum())
    if len(delta) > DELTA_ROWS or dead > DELTA_ROWS:
        every = np.concatenate([old.main_vectors, delta])
        return _built(all_keys[all_alive], every[all_alive])
    table = np.full(max(len(old.row_of_key), int(keys.max(initial=-1)) + 1), -1, dtype=np.int64)
    table[: len(old.row_of_key)] = old.row_of_key
    table[gone[rows >= 0]] = -1
    table[keys] = np.arange(len(old.keys), len(all_keys))
    return _Snapshot(old.main, old.main_vectors, delta, all_keys, all_alive, table)


def _best_rows(
    snapshot: _Snapshot, queries: Floats, k: int, allowed: Mask, excluded: list[Longs]
) -> Iterator[tuple[int, Longs, Floats]]:
    """Yields (query, its best rows, their scores). FAISS looks at the main rows; what it cannot settle is scanned."""
    in_main = allowed[: len(snapshot.main_vectors)]
    eligible = int(in_main.sum())
    delta_rows = len(in_main) + np.flatnonzero(allowed[len(in_main) :])
    every_row: Longs | None = None  # made once, and only when some query has to be scanned
    wanted = np.array([k + len(rows) + 1 for rows in excluded], dtype=np.int64)  # one more: is there a tie at the end?
    scanned = (wanted * 2 >= eligible) | (eligible < SCAN_SHARE * len(in_main))
    found = _searched(snapshot, queries, wanted, in_main, delta_rows, np.flatnonzero(~scanned))
    blocked = np.zeros(len(snapshot.keys), dtype=bool)
    for query in range(len(queries)):
        blocked[excluded[query]] = True
        certain = False
        if query in found:
            rows, scores, floor = found[query]
            best, best_scores = _top(snapshot, rows, scores, blocked, k)
            certain = len(best) == k and best_scores[-1] > floor
        if not certain:
            every_row = np.flatnonzero(allowed) if every_row is None else every_row
            scores = _scores(snapshot, queries[query : query + 1], every_row[None, :])[0]
            best, best_scores = _top(snapshot, every_row, scores, blocked, k)
        blocked[excluded[query]] = False
        yield query, best, best_scores


def _searched(
    snapshot: _Snapshot, queries: Floats, wanted: Longs, in_main: Mask, delta_rows: Longs, members: Longs
) -> dict[int, tuple[Longs, Floats, float]]:
    """Query -> (rows, their scores, floor: no main row that is missing scores higher), delta rows included."""
    parameters = None
    if not in_main.all():
        selector = faiss.IDSelectorBitmap(np.packbits(in_main, bitorder="little"))
        parameters = faiss.SearchParameters(sel=selector)
    found: dict[int, tuple[Longs, Floats, float]] = {}
    ordered = members[np.argsort(wanted[members], kind="stable")]  # those who exclude many do not slow the others
    for start in range(0, len(ordered), CHUNK_QUERIES):
        chunk = ordered[start : start + CHUNK_QUERIES]
        vectors = np.ascontiguousarray(queries[chunk])
        scores, rows = snapshot.main.search(vectors, int(wanted[chunk].max()), params=parameters)
        floors = scores[:, -1]
        if len(delta_rows):
            rows = np.concatenate([rows, np.tile(delta_rows, (len(chunk), 1))], axis=1)
            scores = np.concatenate([scores, _scores(snapshot, vectors, rows[:, -len(delta_rows) :])], axis=1)
        for place, query in enumerate(chunk.tolist()):
            found[query] = (rows[place], scores[place], float(floors[place]))
    return found


def _top(snapshot: _Snapshot, rows: Longs, scores: Floats, blocked: Mask, k: int) -> tuple[Longs, Floats]:
    """The k best of these rows that are not blocked, ties by lower item key."""
    free = ~blocked[rows]
    rows, scores = rows[free], scores[free]
    order = np.lexsort((snapshot.keys[rows], -scores))[:k]
    return rows[order], scores[order]


def _scores(snapshot: _Snapshot, queries: Floats, rows: Longs) -> Floats:
    """One pair at a time, float32 [B, n], so that a score depends on nothing but its two vectors; NaN where row < 0."""
    size = len(snapshot.main_vectors)
    scores = _pairs(queries, snapshot.main_vectors, np.where(rows < size, rows, -1))
    if len(snapshot.delta_vectors):
        in_delta = rows >= size
        scores = np.where(
            in_delta, _pairs(queries, snapshot.delta_vectors, np.where(in_delta, rows - size, -1)), scores
        )
    scores[rows < 0] = np.nan
    return scores


def _pairs(queries: Floats, vectors: Floats, rows: Longs) -> Floats:
    """FAISS' own kernel on `vectors` in place: gathering the rows first would cost several times as much."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    rows = np.ascontiguousarray(rows)
    scores = np.empty(rows.shape, dtype=np.float32)
    if scores.size and len(vectors):
        pointers = [faiss.swig_ptr(array) for array in (scores, queries, vectors, rows)]
        faiss.fvec_inner_products_by_idx(*pointers, queries.shape[1], *rows.shape)
    return scores


def _rows(snapshot: _Snapshot, keys: Longs) -> Longs:
    return _looked_up(snapshot.row_of_key, keys, default=-1)


def _looked_up(table: npt.NDArray[Any], keys: Longs, default: int = 0) -> npt.NDArray[Any]:
    """table[keys], `default` for keys outside it."""
    inside = (keys >= 0) & (keys < len(table))
    values = np.full(keys.shape, default, dtype=table.dtype)
    values[inside] = table[keys[inside]]
    return values


def _excluded_rows(snapshot: _Snapshot, queries: int, offsets: Longs | None, keys: Longs | None) -> list[Longs]:
    if offsets is None or keys is None:
        return [np.zeros(0, dtype=np.int64)] * queries
    rows = _rows(snapshot, keys)
    slices = [rows[offsets[query] : offsets[query + 1]] for query in range(queries)]
    return [part[part >= 0] for part in slices]


def _vectors(snapshot: _Snapshot) -> Floats:
    return np.concatenate([snapshot.main_vectors, snapshot.delta_vectors])


def _memory_of(flat: Any) -> Floats:
    """The vectors of a flat index, float32 [n, D], not copied: valid as long as the index lives."""
    size: int = flat.ntotal * flat.d
    return np.asarray(faiss.rev_swig_ptr(flat.get_xb(), size)).reshape(flat.ntotal, flat.d)

"""Inner products and exact searches: what every kind of index computes alike."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from interest.batch import Floats, Longs

Mask = npt.NDArray[np.bool_]
Take = Callable[[Longs], Floats]  # rows [n] -> their vectors, float32 [n, D]

CHUNK_QUERIES = 16  # FAISS multiplies matrices from 20 queries on, and then a score depends on its neighbours
CHUNK_ROWS = 8_192  # rows that are copied or assigned at once: NumPy lets no other thread run while it copies


@dataclass(frozen=True)
class Selection:
    """The rows of the main part that may be found."""

    mask: Mask  # [m]

    @cached_property
    def count(self) -> int:
        return int(np.count_nonzero(self.mask))

    @property
    def everything(self) -> bool:
        return self.count == len(self.mask)

    @cached_property
    def selector(self) -> Any:
        """A FAISS selector, None when nothing is left out. Valid as long as this object lives."""
        return None if self.everything else faiss.IDSelectorBitmap(np.packbits(self.mask, bitorder="little"))


def use_threads(count: int) -> None:
    """Threads of FAISS, for the whole process."""
    faiss.omp_set_num_threads(count)


def pairs(queries: Floats, vectors: Floats, rows: Longs) -> Floats:
    """Inner products of query b with the vectors of rows[b], float32 [B, n]; undefined where row < 0.

    FAISS' own kernel on `vectors` in place, one pair at a time, so that a score depends on nothing but its two vectors:
    gathering the rows first would cost several times as much.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    rows = np.ascontiguousarray(rows)
    scores = np.empty(rows.shape, dtype=np.float32)
    if scores.size and len(vectors):
        pointers = [faiss.swig_ptr(array) for array in (scores, queries, vectors, rows)]
        faiss.fvec_inner_products_by_idx(*pointers, queries.shape[1], *rows.shape)
    return scores


def exact_rows(queries: Floats, vectors: Floats, k: int, selector: Any = None) -> Longs:
    """The k rows of highest inner product, best first, int64 [B, k] padded with -1. Takes `vectors` where they lie."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    rows = np.full((len(queries), k), -1, dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    if len(queries) and len(vectors):
        pointers = [faiss.swig_ptr(queries), faiss.swig_ptr(vectors)]
        sizes = (queries.shape[1], len(queries), len(vectors), k)
        faiss.knn_inner_product(*pointers, *sizes, faiss.swig_ptr(scores), faiss.swig_ptr(rows), selector)
    return rows


def empty_vectors(rows: int, dims: int, spill_folder: Path | None, spills: bool) -> Floats:
    """Float32 [rows, dims] to be filled: in memory, or over a file without a name that the kernel may write back."""
    if not spills or not rows:
        return np.empty((rows, dims), dtype=np.float32)
    with tempfile.TemporaryFile(dir=spill_folder) as stream:
        return np.asarray(np.memmap(stream, dtype=np.float32, mode="w+", shape=(rows, dims)))


def filled(target: Floats, take: Take, order: Longs) -> Floats:
    """`target`, its row i holding the vector of row order[i]."""
    for start in range(0, len(order), CHUNK_ROWS):
        part = order[start : start + CHUNK_ROWS]
        target[start : start + len(part)] = take(part)
    return target

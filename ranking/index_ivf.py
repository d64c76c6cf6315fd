"""The inverted file over the vectors themselves, and the one over 4-bit product codes whose best are scored exactly.

Sources: Jegou, Douze, Schmid (PAMI 2011) for both; Andre, Kermarrec, Le Scouarnec, "Cache locality is not enough"
(VLDB 2015) for codes that fit a register, as FAISS' FastScan reads them.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import faiss
import numpy as np

from interest.batch import Floats, Longs, Tensors
from ranking.index_cells import Cells, rows_of
from ranking.index_curve import Curve
from ranking.index_kernels import CHUNK_ROWS, Selection, filled, pairs
from ranking.index_settings import IVF, PQ

NEARLY_ALL = 0.9  # above this selected share, cells are taken to have their usual sizes
ELSEWHERE = 0.5  # of the selected rows to be expected among the nearest
MOST_SHARE = 0.5  # of the rows: an index that has to look at more is not worth having
MOST_EXACT, FEW_EXACT = 1 / 16, 2_000  # the longest shortlist that is worth having: a share of the rows, or so many
CODE_BITS = 4
CODE_SAMPLE = 65_536


@dataclass(frozen=True, slots=True)
class IvfMain:
    """`probing` gives the share of the selected rows to look at, by depth: `wanted` over the selected share.

    With a filter, cells are taken in the order of nearness until that share of the *selected* rows is covered. Where
    the filter leaves little of what is near, the share that was measured says nothing: no list is made then, and the
    caller compares every selected row.
    """

    cells: Cells
    probing: Curve
    kind = IVF

    def shortlists(self, vectors: Floats, queries: Floats, wanted: Longs, selection: Selection) -> list[Longs]:
        sizes = selected_sizes(self.cells, selection)
        return [
            self._shortlist(vectors, query, int(count), sizes, selection)
            for query, count in zip(queries, wanted, strict=True)
        ]

    def _shortlist(self, vectors: Floats, query: Floats, wanted: int, sizes: Longs, selection: Selection) -> Longs:
        chosen, _ = probed(self.cells, self.probing, query, wanted, sizes, selection)
        rows = rows_of(self.cells, chosen)
        if not selection.everything:
            rows = rows[selection.mask[rows]]
        if len(rows) <= wanted:
            return rows
        scores = pairs(query[None, :], vectors, rows[None, :])[0]
        best: Longs = rows[np.argpartition(scores, len(rows) - wanted)[len(rows) - wanted :]]
        return best

    def worthwhile(self) -> bool:
        """Whether this is less work than comparing everything."""
        return self.probing.efforts[0] <= MOST_SHARE

    def widened(self) -> Self:
        """The same index looking at more."""
        return replace(self, probing=self.probing.scaled(1.25, most=1.0))

    def parameters(self) -> dict[str, Any]:
        return {"probing": self.probing.to_json()}

    def tensors(self) -> Tensors:
        cells = self.cells
        return {
            "centroids": cells.centroids,
            "bias": cells.bias,
            "length": np.array([cells.length]),
            "offsets": cells.offsets,
        }

    def faiss_index(self) -> Any:
        return None


@dataclass(frozen=True, slots=True)
class PqMain:
    """`codes` finds the best `shortlist` rows (by `wanted`) of the probed cells; the caller scores their vectors."""

    cells: Cells
    probing: Curve
    codes: Any  # faiss.IndexIVFPQFastScan with the same cells
    shortlist: Curve
    kind = PQ

    def shortlists(self, vectors: Floats, queries: Floats, wanted: Longs, selection: Selection) -> list[Longs]:
        sizes = selected_sizes(self.cells, selection)
        return [
            self._shortlist(np.ascontiguousarray(query, dtype=np.float32), int(count), sizes, selection)
            for query, count in zip(queries, wanted, strict=True)
        ]

    def _shortlist(self, query: Floats, wanted: int, sizes: Longs, selection: Selection) -> Longs:
        """One query a call: FastScan takes another path for several, and its ties fall otherwise there."""
        chosen, products = probed(self.cells, self.probing, query, wanted, sizes, selection)
        if not len(chosen):
            return chosen
        size = min(max(wanted, int(self.shortlist.at(wanted))), len(selection.mask))
        parameters = faiss.SearchParametersIVF(nprobe=len(chosen), sel=selection.selector)
        rows = np.empty((1, size), dtype=np.int64)
        near, cells = np.ascontiguousarray(products[chosen]), np.ascontiguousarray(chosen)
        scores = np.empty((1, size), dtype=np.float32)
        pointers = [faiss.swig_ptr(array) for array in (cells, near, scores, rows)]
        self.codes.search_preassigned_c(1, faiss.swig_ptr(query), size, *pointers, False, parameters)
        found: Longs = rows[0][rows[0] >= 0]
        return found

    def worthwhile(self) -> bool:
        """Whether this is less work than comparing everything."""
        rows = int(self.cells.offsets[-1])
        affordable = self.shortlist.efforts[0] <= max(rows * MOST_EXACT, FEW_EXACT)
        return affordable and self.probing.efforts[0] <= MOST_SHARE

    def widened(self) -> Self:
        """The same index looking at more."""
        probing, shortlist = self.probing.scaled(1.1, most=1.0), self.shortlist.scaled(1.4, most=np.inf)
        return replace(self, probing=probing, shortlist=shortlist)

    def parameters(self) -> dict[str, Any]:
        return {"probing": self.probing.to_json(), "shortlist": self.shortlist.to_json()}

    def tensors(self) -> Tensors:
        return IvfMain(self.cells, self.probing).tensors()

    def faiss_index(self) -> Any:
        return self.codes


def selected_sizes(cells: Cells, selection: Selection) -> Longs:
    """How many selected rows each cell holds, int64 [C]; about so when nearly all are selected."""
    sizes = cells.sizes()
    if selection.count >= NEARLY_ALL * len(selection.mask):
        return sizes
    filled = sizes > 0
    selected = np.zeros(len(sizes), dtype=np.int64)
    selected[filled] = np.add.reduceat(selection.mask, cells.offsets[:-1][filled], dtype=np.int64)
    return selected


def probed(
    cells: Cells, probing: Curve, query: Floats, wanted: int, sizes: Longs, selection: Selection
) -> tuple[Longs, Floats]:
    """(the cells to look into, nearest first; the inner product of every centroid with the query).

    No cells where those that would do without a filter hold less than `ELSEWHERE` of the selected rows that are due to
    them: the filter is about something else than the query.
    """
    order, products = cells.ranked(query)
    share = min(probing.at(wanted * len(selection.mask) / max(selection.count, 1)), 1.0)
    covered = np.cumsum(sizes[order])
    if selection.count < NEARLY_ALL * len(selection.mask):
        usual = int(np.searchsorted(np.cumsum(cells.sizes()[order]), share * len(selection.mask)))
        if covered[usual] < ELSEWHERE * share * covered[-1]:
            return order[:0], products
    return order[: int(np.searchsorted(covered, share * covered[-1])) + 1], products


def make_codes(cells: Cells, vectors: Floats, rng: np.random.Generator) -> Any:
    """Residuals to the centroids in 4-bit product codes of two dimensions each, int row numbers as ids."""
    dims = vectors.shape[1]
    quantizer = faiss.IndexFlatIP(dims)
    quantizer.add(cells.centroids)
    parts = dims // 2 if dims % 2 == 0 else dims
    plain = faiss.IndexIVFPQ(quantizer, dims, len(cells.centroids), parts, CODE_BITS, faiss.METRIC_INNER_PRODUCT)
    plain.pq.cp.min_points_per_centroid = 1
    sample = np.sort(rng.choice(len(vectors), size=min(len(vectors), CODE_SAMPLE), replace=False))
    plain.train(filled(np.empty((len(sample), dims), np.float32), lambda part: vectors[part], sample))
    cell = np.repeat(np.arange(len(cells.centroids)), cells.sizes())
    for start in range(0, len(vectors), CHUNK_ROWS):
        part = np.ascontiguousarray(vectors[start : start + CHUNK_ROWS])
        ids, where = np.arange(start, start + len(part)), np.ascontiguousarray(cell[start : start + len(part)])
        plain.add_core(len(part), faiss.swig_ptr(part), faiss.swig_ptr(ids), faiss.swig_ptr(where))
    codes = faiss.IndexIVFPQFastScan(plain)
    codes.own_fields = True
    quantizer.this.disown()
    return codes

"""Cells of an inverted file: k-means on vectors of unequal length, made for inner products.

Sources: Jegou, Douze, Schmid, "Product quantization for nearest neighbor search" (PAMI 2011), section IV, for the
inverted file; Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation for
inner-product spaces" (RecSys 2014), equations 1 to 3, for the additional dimension that makes the highest inner product
the nearest neighbour.
"""

from dataclasses import dataclass

import faiss
import numpy as np

from interest.batch import Floats, Longs
from ranking.index_kernels import CHUNK_ROWS, Take, filled

SAMPLE_PER_CELL = 64
ROUNDS = 8  # of k-means; more gained less than 0.2 % of recall on clustered vectors
CELLS_PER_ROOT = 2.0  # cells = this times the square root of the number of rows


@dataclass(frozen=True, slots=True)
class Cells:
    """Row r belongs to cell c when offsets[c] <= r < offsets[c + 1]: vectors of one cell lie side by side."""

    centroids: Floats  # [C, D]
    bias: Floats  # [C] minus the squared length of the centroid in D + 1 dimensions
    length: float  # of the longest vector, which all have in D + 1 dimensions
    offsets: Longs  # [C + 1]

    def ranked(self, query: Floats) -> tuple[Longs, Floats]:
        """(cells, nearest first; inner product of each centroid with the query), one query, float32 [D].

        The query is brought to the common length first: a centroid's bias, which grows with the spread of its cell,
        then weighs the same for every query.
        """
        norm = float(np.sqrt(query @ query))
        products = self.centroids @ query
        scale = 2 * self.length / norm if norm > 0 else 0.0
        return np.argsort(-(scale * products + self.bias), kind="stable"), products

    def sizes(self) -> Longs:
        """Rows of each cell, int64 [C]."""
        return np.diff(self.offsets)


def make_cells(take: Take, rows: int, rng: np.random.Generator) -> tuple[Cells, Longs]:
    """(cells, order): row i of the index is row order[i] of the caller. At least one row is needed."""
    count = max(1, min(int(CELLS_PER_ROOT * np.sqrt(rows)), rows // 8))
    length2 = longest(take, rows)
    sample = np.sort(rng.choice(rows, size=min(rows, SAMPLE_PER_CELL * count), replace=False))
    dims = take(sample[:1]).shape[1] + 1
    points = filled(np.empty((len(sample), dims), np.float32), lambda part: augmented(take(part), length2), sample)
    nearest = faiss.IndexFlatL2(points.shape[1])
    means = faiss.Clustering(points.shape[1], count)
    means.niter, means.seed = ROUNDS, int(rng.integers(2**31))
    means.min_points_per_centroid, means.max_points_per_centroid = 1, SAMPLE_PER_CELL
    means.train(points, nearest)
    cell = np.concatenate([nearest.search(augmented(take(part), length2), 1)[1][:, 0] for part in chunks(rows)])
    full = faiss.vector_to_array(means.centroids).reshape(count, -1)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=count))]).astype(np.int64)
    cells = Cells(np.ascontiguousarray(full[:, :-1]), -_squares(full), float(np.sqrt(length2)), offsets)
    return cells, np.argsort(cell, kind="stable")


def rows_of(cells: Cells, chosen: Longs) -> Longs:
    """The rows of the chosen cells, cell after cell."""
    starts = cells.offsets[chosen]
    sizes = cells.offsets[chosen + 1] - starts
    ends = np.cumsum(sizes)
    rows: Longs = np.arange(int(sizes.sum())) + np.repeat(starts - (ends - sizes), sizes)
    return rows


def chunks(rows: int) -> list[Longs]:
    """Row numbers, a piece at a time."""
    return [np.arange(start, min(start + CHUNK_ROWS, rows)) for start in range(0, rows, CHUNK_ROWS)]


def longest(take: Take, rows: int) -> float:
    """The squared length of the longest vector."""
    return max(float(_squares(take(part)).max()) for part in chunks(rows))


def augmented(vectors: Floats, length2: float) -> Floats:
    """[n, D + 1]: every vector gets the same squared length, `length2`; the nearest is then the best product."""
    rest = np.sqrt(np.maximum(length2 - _squares(vectors), 0))
    return np.ascontiguousarray(np.concatenate([vectors, rest[:, None]], axis=1), dtype=np.float32)


def _squares(vectors: Floats) -> Floats:
    squares: Floats = np.einsum("ij,ij->i", vectors, vectors)
    return squares

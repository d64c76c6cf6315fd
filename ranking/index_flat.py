"""What every kind of index can do, and the kind that compares every vector."""

from typing import Any, Protocol

import numpy as np

from interest.batch import Floats, Longs, Tensors
from ranking.index_kernels import CHUNK_QUERIES, Selection, exact_rows
from ranking.index_settings import FLAT


class Main(Protocol):
    """An immutable index over the main rows of a snapshot, whose vectors it is given at every search."""

    kind: str

    def shortlists(self, vectors: Floats, queries: Floats, wanted: Longs, selection: Selection) -> list[Longs]:
        """For each query the rows to be scored: at least `wanted[b]` of the best where it finds as many.

        `vectors` float32 [m, D], `queries` float32 [B, D]. All rows are selected ones. A list depends on its query, its
        `wanted` and the selection, never on the other queries.
        """

    def parameters(self) -> dict[str, Any]:
        """What it was tuned to, for the manifest."""

    def tensors(self) -> Tensors:
        """Its arrays, to be saved beside the vectors."""

    def faiss_index(self) -> Any:
        """The FAISS index to be saved, None for a kind without one."""


class FlatMain:
    """Exact."""

    kind = FLAT

    def shortlists(self, vectors: Floats, queries: Floats, wanted: Longs, selection: Selection) -> list[Longs]:
        found = [np.zeros(0, dtype=np.int64)] * len(queries)
        ordered = np.argsort(wanted, kind="stable")  # those who exclude many do not slow the others
        for start in range(0, len(ordered), CHUNK_QUERIES):
            chunk = ordered[start : start + CHUNK_QUERIES]
            rows = exact_rows(queries[chunk], vectors, int(wanted[chunk].max()), selection.selector)
            for place, query in enumerate(chunk.tolist()):
                found[query] = rows[place][rows[place] >= 0]
        return found

    def parameters(self) -> dict[str, Any]:
        return {}

    def tensors(self) -> Tensors:
        return {}

    def faiss_index(self) -> Any:
        return None

"""The graph: Malkov, Yashunin, "Efficient and robust approximate nearest neighbor search using HNSW" (PAMI 2018).

Greedy steps need a metric, and an inner product is none: built on vectors of unequal length as they are, the graph
did not reach the recall that the other kinds do. It is built in the D + 1 dimensions of Bachrach et al. (RecSys 2014)
instead, on a second copy of the vectors: 8-bit codes of the additional dimension, by far the longest, were too coarse.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import faiss
import numpy as np

from interest.batch import Floats, Longs, Tensors
from ranking.index_cells import augmented, chunks, longest
from ranking.index_curve import Curve
from ranking.index_kernels import Selection, Take, exact_rows
from ranking.index_settings import HNSW

LINKS = 32  # per node and level; M of the paper
BUILD_BREADTH = 80  # efConstruction
MOST_BREADTH, FEW_NODES = 1 / 16, 2_000  # the broadest search that is worth having: a share of the nodes, or so many
GRAPH_SHARE = 0.5  # below this selected share the graph leads nowhere too often: every selected row is compared


@dataclass(frozen=True, slots=True)
class HnswMain:
    """`breadth` gives efSearch by depth: `wanted` over the selected share."""

    graph: Any  # faiss.IndexHNSWFlat
    breadth: Curve
    kind = HNSW

    def shortlists(self, vectors: Floats, queries: Floats, wanted: Longs, selection: Selection) -> list[Longs]:
        found = []
        share = selection.count / max(len(selection.mask), 1)
        raised = np.concatenate([queries, np.zeros((len(queries), 1))], axis=1).astype(np.float32)
        for place, count in enumerate(wanted.tolist()):
            if share < GRAPH_SHARE:
                rows = exact_rows(queries[place : place + 1], vectors, count, selection.selector)[0]
            else:
                breadth = max(int(self.breadth.at(count / share)), count)
                parameters = faiss.SearchParametersHNSW(sel=selection.selector, efSearch=breadth)
                rows = self.graph.search(raised[place : place + 1], count, params=parameters)[1][0]
            found.append(rows[rows >= 0])
        return found

    def worthwhile(self) -> bool:
        """Whether this is less work than comparing everything."""
        return bool(self.breadth.efforts[0] <= max(self.graph.ntotal * MOST_BREADTH, FEW_NODES))

    def widened(self) -> Self:
        """The same graph searched more broadly."""
        return replace(self, breadth=self.breadth.scaled(1.25, most=np.inf))

    def parameters(self) -> dict[str, Any]:
        return {"breadth": self.breadth.to_json()}

    def tensors(self) -> Tensors:
        return {}

    def faiss_index(self) -> Any:
        return self.graph


def make_graph(take: Take, rows: int, dims: int) -> Any:
    """All rows in a graph, in their order."""
    graph = faiss.IndexHNSWFlat(dims + 1, LINKS, faiss.METRIC_L2)
    graph.hnsw.efConstruction = BUILD_BREADTH
    length2 = longest(take, rows)
    for part in chunks(rows):
        graph.add(augmented(take(part), length2))
    return graph

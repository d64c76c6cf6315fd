"""Queries that a reranker learns from: features and labels of candidates, by request."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles
from ranking.lambdamart import RankingData


@dataclass(frozen=True, slots=True)
class Queries:
    """Q queries to learn from, the instant of each, and whether seen items were left out."""

    data: RankingData
    as_of: Doubles  # [Q] unix seconds
    new_only: npt.NDArray[np.bool_]  # [Q]

    def take(self, keep: npt.NDArray[np.bool_]) -> "Queries":
        """The queries marked in `keep` [Q]."""
        rows = np.repeat(keep, self.data.lengths)
        data = RankingData(self.data.values[rows], self.data.labels[rows], self.data.lengths[keep])
        return Queries(data, self.as_of[keep], self.new_only[keep])


def joined(parts: Sequence[Queries]) -> Queries:
    """One after the other; at least one part."""
    data = RankingData(
        np.concatenate([part.data.values for part in parts]),
        np.concatenate([part.data.labels for part in parts]),
        np.concatenate([part.data.lengths for part in parts]),
    )
    as_of = np.concatenate([part.as_of for part in parts])
    return Queries(data, as_of, np.concatenate([part.new_only for part in parts]))


def with_a_wanted_item(queries: Queries) -> Queries:
    """Only the queries that teach something: at least one candidate was wanted."""
    query = np.repeat(np.arange(len(queries.as_of)), queries.data.lengths)
    return queries.take(np.bincount(query, queries.data.labels, minlength=len(queries.as_of)) > 0)


def fewer_negatives(queries: Queries, limit: int, rng: np.random.Generator) -> Queries:
    """Every wanted candidate and at most `limit` of the others in each query, by chance, in their order."""
    data = queries.data
    query = np.repeat(np.arange(len(data.lengths)), data.lengths)
    chance = np.where(data.labels > 0, 2.0, rng.random(len(query)))
    order = np.lexsort((chance, query))
    place = np.arange(len(query)) - np.repeat(np.cumsum(data.lengths) - data.lengths, data.lengths)
    keep = np.zeros(len(query), dtype=np.bool_)
    keep[order[place < limit]] = True
    keep |= data.labels > 0
    lengths = np.bincount(query[keep], minlength=len(data.lengths))
    return Queries(RankingData(data.values[keep], data.labels[keep], lengths), queries.as_of, queries.new_only)

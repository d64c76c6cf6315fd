"""Pool: what the sources name for a user is more than the reranker has time for; a few trees choose from it.

A cascade: Wang, L., Lin, J., Metzler, D. (2011), "A cascade ranking model for efficient ranked retrieval", SIGIR.
"""

from typing import Self

import numpy as np
import numpy.typing as npt

from interest.batch import Longs, UserBatch, ragged_offsets
from interest.catalogue import CatalogueView
from interest.errors import InvalidRelease
from ranking.batch import CandidateBatch
from ranking.compiled_trees import CompiledTrees
from ranking.item_features import ranks
from ranking.item_statistics import ItemStatistics
from ranking.pool_features import POOL_FEATURES, pool_columns
from ranking.popularity import Popularity

LIFT = 1_000.0  # far beyond any score


class Pool:
    """`size`: how many items of the sources a user's candidates are chosen from."""

    def __init__(self, trees: CompiledTrees, size: int, popularity: Popularity, statistics: ItemStatistics) -> None:
        if trees.features != len(POOL_FEATURES):
            raise InvalidRelease(f"features of the trees: expected {len(POOL_FEATURES)}, found {trees.features}")
        self.size = size
        self._trees = trees
        self._popularity = popularity
        self._statistics = statistics

    @classmethod
    def of(cls, text: str, size: int, popularity: Popularity, statistics: ItemStatistics) -> Self:
        """Of LightGBM's text. Raises `InvalidRelease` for other text, and for trees of other features."""
        return cls(CompiledTrees.from_text(text), size, popularity, statistics)

    def best(
        self, users: UserBatch, pool: CandidateBatch, count: Longs, first: npt.NDArray[np.bool_], view: CatalogueView
    ) -> CandidateBatch:
        """The best `count` [B] of each user's pool, ordered by item key; those marked in `first` [N] before all others.

        Nobody's choice depends on the other users of the batch. Equal scores: the lower item key.
        """
        offsets = pool.candidate_offsets
        lengths = np.diff(offsets)
        if (lengths <= count).all():
            return pool
        by_feature = np.empty((len(POOL_FEATURES), len(first)), dtype=np.float32)
        for place, column in enumerate(pool_columns(users, pool, view, self._popularity, self._statistics)):
            by_feature[place] = column
        scores = self._trees.predict(by_feature.T) + LIFT * first
        user = np.repeat(np.arange(len(lengths)), lengths)
        kept = np.flatnonzero(ranks(scores[None], user, offsets)[0] < count[user])
        return CandidateBatch(
            ragged_offsets(np.minimum(lengths, count)), pool.candidate_item[kept], pool.candidate_score[kept]
        )

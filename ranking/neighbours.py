"""How near each candidate is to the single items that its user dealt with, by its text and by its facets.

A user's vector is a mean of their items, and a mean of two tastes is near neither. Here every item of the user's speaks
for itself and is heard by its nearest items alone: item-based top-N recommendation with a model of K neighbours,
Deshpande, M., Karypis, G. (2004), "Item-based top-N recommendation algorithms", ACM TOIS 22(1), section 4, with the
greatest likeness beside the sum of likenesses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from interest.batch import Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import CatalogueView
from interest.model import DAY_S, TYPE_WEIGHT_BY_CODE, InterestModel
from ranking.batch import CandidateBatch
from ranking.index_kernels import pairs

NEIGHBOURS = 50  # of an item
LOOKED_AT = 2
MOST_ITEMS = 25_000  # that have tables: every item is compared with every other, which takes a minute for twice as many
AT_ONCE = 512  # items whose likeness to all others is computed at once
RECENT_HALF_LIFE_S = 20 * DAY_S  # counted back from the user's latest event
WEIGHT_HALF_LIFE_S = 180 * DAY_S

TABLES = ("text", "facet")
NEAR_FEATURES: tuple[str, ...] = tuple(f"near_{table}{part}" for table in TABLES for part in ("", "_recent", "_sum"))
"""By each table: the greatest likeness to an item of the user's; the greatest likeness x recency of that item; the sum
of weight x likeness cubed over the root of the sum of squared weights."""

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """Of each of m items: the rows of its K nearest others, and how near they are, not below 0."""

    rows: Ints  # [m, K]
    likeness: Floats  # [m, K]

    @classmethod
    def of(cls, vectors: Floats | scipy.sparse.csr_array, count: int = NEIGHBOURS) -> "NeighbourTable":
        """For each row of `vectors` [m, D] the `count` others with the greatest inner products, ties by the lower row.

        The same table in every process: a product of matrices, whose bits depend on threads and on neighbours, only
        says which `LOOKED_AT` times as many rows are looked at more closely (of still more equals, any).
        """
        number = vectors.shape[0]
        kept = max(min(count, number - 1), 0)
        rows = np.zeros((number, kept), dtype=np.int32)
        likeness = np.zeros((number, kept), dtype=np.float32)
        for start in range(0, number if kept else 0, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            near, products = _nearest(vectors, part, min(LOOKED_AT * count, number - 1))
            best = np.sort(np.lexsort((near, -products), axis=1)[:, :kept], axis=1)  # `near` is ascending
            rows[part] = np.take_along_axis(near, best, axis=1)
            likeness[part] = np.maximum(np.take_along_axis(products, best, axis=1), 0.0)
        return cls(rows, likeness)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The neighbours of the items that an interest model knows; rows are the model's, -1 for an unknown item key."""

    tables: tuple[NeighbourTable, ...]  # in the order of `TABLES`
    row_of_key: Longs

    @classmethod
    def of(cls, model: InterestModel, view: CatalogueView, row_of_key: Longs) -> "Neighbours":
        """By cosine of the catalogue's texts and facets as they are now; a few seconds for 6,000 items.

        Of more than `MOST_ITEMS` items nothing is known: their features are NaN, in training as in serving.
        """
        _compiled_near()
        if len(model.item_ids) > MOST_ITEMS:
            return cls.nothing()
        rows = np.full(len(model.item_ids), -1, dtype=np.int64)
        keys = np.flatnonzero(row_of_key >= 0)
        rows[row_of_key[keys]] = view.rows(keys)
        content = np.concatenate([view.content, np.zeros((1, view.content.shape[1]), dtype=np.float32)])[rows]
        return cls((NeighbourTable.of(content), NeighbourTable.of(facet_vectors(view, rows))), row_of_key)

    @classmethod
    def nothing(cls) -> "Neighbours":
        """No item is known."""
        none = NeighbourTable.of(np.zeros((0, 1), dtype=np.float32))
        return cls((none,) * len(TABLES), np.zeros(0, dtype=np.int64))

    def features(self, users: UserBatch, candidates: CandidateBatch) -> Floats:
        """float32 [len(NEAR_FEATURES), N], as of each user's `now`; NaN for unknown candidates and for users without
        own items that the model knows."""
        owner = np.repeat(np.arange(len(users.now)), np.diff(users.behaviour_offsets))
        latest = np.full(len(users.now), -np.inf)
        np.maximum.at(latest, owner, users.behaviour_last_at)
        before = latest[owner] - users.behaviour_last_at
        age = np.maximum(users.now[owner] - users.behaviour_last_at, 0.0)
        weight = TYPE_WEIGHT_BY_CODE[users.behaviour_type] * np.exp2(-age / WEIGHT_HALF_LIFE_S)
        own = (
            users.behaviour_offsets,
            self._rows(users.behaviour_item),
            weight.astype(np.float32),
            np.exp2(-before / RECENT_HALF_LIFE_S).astype(np.float32),
        )
        rows = self._rows(candidates.candidate_item)
        found = np.empty((len(NEAR_FEATURES), len(rows)), dtype=np.float32)
        columns = len(NEAR_FEATURES) // len(TABLES)
        for place, table in enumerate(self.tables):
            part = found[place * columns : (place + 1) * columns]
            _compiled_near()(*own, table.rows, table.likeness, candidates.candidate_offsets, rows, part)
        return found

    def _rows(self, keys: Longs) -> Longs:
        rows = np.full(len(keys), -1, dtype=np.int64)
        known = keys < len(self.row_of_key)
        rows[known] = self.row_of_key[keys[known]]
        return rows


def _compiled_near() -> Callable[..., None]:
    """Imported where first needed: it brings a compiler of a hundred megabytes that vLLM does not start beside."""
    from ranking.near_loop import compiled_near

    return compiled_near()


def facet_vectors(view: CatalogueView, rows: Longs) -> scipy.sparse.csr_array:
    """Facet weight x inverse document frequency of these rows of the view, float32 [n, facets], unit length or zero.

    Salton, G., Buckley, C. (1988), "Term-weighting approaches in automatic text retrieval", table 1; the frequency is
    that among the rows asked for. A row of -1 is zero.
    """
    known = np.maximum(rows, 0)
    lengths = np.where(rows >= 0, np.diff(view.facet_offsets)[known], 0) if len(view) else np.zeros(len(rows), np.int64)
    offsets = ragged_offsets(lengths)
    starts = view.facet_offsets[known] if len(view) else offsets[:-1]
    entries = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    facets, column = np.unique(view.facet_hash[entries], return_inverse=True)
    rarity = np.log((1 + len(rows)) / (1 + np.bincount(column, minlength=len(facets)))) + 1
    weight = view.facet_weight[entries] * rarity[column]
    owner = np.repeat(np.arange(len(rows)), lengths)
    square = np.bincount(owner, weight * weight, minlength=len(rows))
    unit = (weight / np.sqrt(np.where(square > 0, square, 1.0))[owner]).astype(np.float32)
    return scipy.sparse.csr_array((unit, column, offsets), shape=(len(rows), len(facets)))


def _nearest(vectors: Floats | scipy.sparse.csr_array, part: slice, count: int) -> tuple[Longs, Floats]:
    """The `count` other rows nearest to each row of a part, ascending, and their products with it."""
    rough = vectors[part] @ vectors.T
    products: Floats = rough if isinstance(rough, np.ndarray) else rough.toarray()
    own = np.arange(len(products))
    products[own, part.start + own] = -np.inf
    near: Longs = np.sort(np.argpartition(-products, count - 1, axis=1)[:, :count], axis=1)
    if isinstance(vectors, np.ndarray):
        return near, pairs(vectors[part], vectors, near)
    return near, np.take_along_axis(products, near, axis=1)

"""Calibration: how far the categories of a list are from those of the user's own behaviour.

Steck, H. (2018), "Calibrated recommendations": the Kullback-Leibler divergence of the user's mix p from the list's mix
q, sum over categories g of p(g) ln(p(g) / q~(g)), with q~ = (1 - a) q + a p and a = 0.01 so that it stays finite. An
item of several categories counts for each with an equal part, in both mixes; an item without any counts in neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Doubles, Longs, UserBatch, ragged_offsets
from interest.catalogue import CatalogueView
from interest.events import Facet
from interest.model import TYPE_WEIGHT_BY_CODE
from interest.profile import HALF_LIVES_S

SMOOTHING = 0.01
HALF_LIFE = 2  # of the behaviour's decays: the slowest, because a mix is about the whole of a taste


@dataclass(frozen=True, slots=True)
class ItemCategories:
    """The categories of every item of one view of the catalogue."""

    version: int  # of the view
    names: Sequence[Facet]  # [G]
    offsets: Longs  # [rows + 1]
    category: Longs  # indices into `names`, distinct within a row


@dataclass(frozen=True, slots=True)
class Mixes:
    """The category mixes of B users: `share` sums to 1 for each user, or there is none."""

    items: ItemCategories
    offsets: Longs  # [B + 1]
    category: Longs
    share: Doubles  # above 0

    def arrays(self) -> tuple[Longs, Longs, Longs, Longs, Doubles, int]:
        items = self.items
        return items.offsets, items.category, self.offsets, self.category, self.share, len(items.names)


class CategoryTable:
    """`ItemCategories` of the newest view asked for: made again only when the catalogue has changed."""

    def __init__(self) -> None:
        self._held: ItemCategories | None = None

    def of(self, view: CatalogueView) -> ItemCategories:
        held = self._held
        if held is None or held.version != view.version:
            held = self._held = item_categories(view)
        return held


def item_categories(view: CatalogueView) -> ItemCategories:
    """The facets of kind category of each item."""
    known = dict(view.facets)  # one step, because the catalogue's writer may add to it
    hashes = np.array(sorted(h for h, facet in known.items() if facet.kind == "category"), dtype=np.uint64)
    place = np.searchsorted(hashes, view.facet_hash)
    found = np.zeros(len(place), dtype=np.bool_)
    within = place < len(hashes)
    found[within] = hashes[place[within]] == view.facet_hash[within]
    before = np.concatenate([[0], np.cumsum(found)])
    return ItemCategories(
        version=view.version,
        names=[known[int(hashed)] for hashed in hashes],
        offsets=before[view.facet_offsets].astype(np.int64),
        category=place[found].astype(np.int64),
    )


def user_mixes(users: UserBatch, view: CatalogueView, items: ItemCategories) -> Mixes:
    """The categories of what each user did: positive acts, by the weight of their type, fading over 180 days.

    A user whose acts say nothing of categories has no mix.
    """
    user = np.repeat(np.arange(len(users.now)), np.diff(users.behaviour_offsets))
    age = np.maximum(users.now[user] - users.behaviour_last_at, 0.0)
    weight = np.maximum(TYPE_WEIGHT_BY_CODE[users.behaviour_type], 0.0) * users.behaviour_decayed[:, HALF_LIFE]
    weight = weight * np.exp2(-age / HALF_LIVES_S[HALF_LIFE])
    rows = view.rows(users.behaviour_item)
    told, length = _lengths(rows, items)
    kept = told & (weight > 0)
    act = np.repeat(np.flatnonzero(kept), length[kept])
    step = np.arange(len(act)) - np.repeat(np.cumsum(length[kept]) - length[kept], length[kept])
    cells = user[act] * len(items.names) + items.category[items.offsets[rows[act]] + step]
    found, cell = np.unique(cells, return_inverse=True)
    amount = np.bincount(cell, weight[act] / length[act], minlength=len(found))
    owner = found // max(len(items.names), 1)
    total = np.bincount(owner, amount, minlength=len(users.now))
    offsets = ragged_offsets(np.bincount(owner, minlength=len(users.now)))
    return Mixes(items, offsets, found - owner * len(items.names), amount / total[owner])


def no_mixes(users: int, rows: int) -> Mixes:
    """Nothing is known of the categories of these users and items."""
    none = np.zeros(0, dtype=np.int64)
    items = ItemCategories(0, [], np.zeros(rows + 1, dtype=np.int64), none)
    return Mixes(items, np.zeros(users + 1, dtype=np.int64), none, np.zeros(0))


def divergence(ranked: Longs, mixes: Mixes) -> Doubles:
    """The divergence of each list, float64 [users]; NaN for users without a mix.

    `ranked` int64 [users, k] of item rows, padded with -1. A list without any category is as far as can be: ln(1 / a).
    """
    users, categories = len(ranked), len(mixes.items.names)
    told, length = _lengths(ranked.ravel(), mixes.items)
    owner = np.repeat(np.arange(users), ranked.shape[1])
    shown = np.zeros((users, categories))
    for place in np.flatnonzero(told):
        start = mixes.items.offsets[ranked.ravel()[place]]
        shown[owner[place], mixes.items.category[start : start + length[place]]] += 1.0 / length[place]
    shown = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1e-300)
    of = np.repeat(np.arange(users), np.diff(mixes.offsets))
    list_share = shown[of, mixes.category]
    terms = mixes.share * np.log(mixes.share / ((1 - SMOOTHING) * list_share + SMOOTHING * mixes.share))
    found: Doubles = np.bincount(of, terms, minlength=users).astype(np.float64)
    found[np.diff(mixes.offsets) == 0] = np.nan
    return found


def _lengths(rows: Longs, items: ItemCategories) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], Longs]:
    """Whether each row has categories, and how many; a row of -1 has none."""
    length = np.zeros(len(rows), dtype=np.int64)
    known = rows >= 0
    length[known] = items.offsets[rows[known] + 1] - items.offsets[rows[known]]
    return length > 0, length

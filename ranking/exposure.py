"""Exposure: how the places of the lists that were shown are spread over the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Doubles, Longs
from interest.catalogue import CatalogueView
from interest.store.protocol import Impression
from ranking.calibration import item_categories
from ranking.list_metrics import gini_of

NO_CATEGORY = ""  # stands for items without one


@dataclass(frozen=True, slots=True)
class CategoryShare:
    """What a category has of all impressions, and of the catalogue's available items; each column sums to 1."""

    category: str  # `NO_CATEGORY`: of items without one
    exposure: float
    catalogue: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """Of one span of the impression log over the items that are available now."""

    lists: int
    impressions: int
    gone: int  # impressions of items that are no longer available: in no other number
    items: int
    gini: float  # 0 (all equally often) to nearly 1
    coverage: float  # share of the items shown at least once
    categories: tuple[CategoryShare, ...]  # by falling exposure, then by name


def exposure(impressions: Sequence[Impression], view: CatalogueView) -> Exposure:
    """The report; an item of several categories counts for each with an equal part."""
    rows = np.array([-1 if (row := view.row_of_id(shown.item_id)) is None else row for shown in impressions], np.int64)
    there = rows >= 0
    there[there] = view.available[rows[there]]
    shown = np.bincount(rows[there], minlength=len(view)).astype(np.float64)
    available = np.flatnonzero(view.available)
    return Exposure(
        lists=len({impression.recommendation_id for impression in impressions}),
        impressions=len(impressions),
        gone=int((~there).sum()),
        items=len(available),
        gini=gini_of(shown[available]),
        coverage=float((shown[available] > 0).mean()) if len(available) else 0.0,
        categories=_categories(shown, available, view),
    )


def _categories(shown: Doubles, available: Longs, view: CatalogueView) -> tuple[CategoryShare, ...]:
    items = item_categories(view)
    length = np.diff(items.offsets)
    part = 1.0 / np.repeat(length, length)
    owner = np.repeat(np.arange(len(view)), length)
    shares = []
    for amount in (shown, np.isin(np.arange(len(view)), available).astype(np.float64)):
        total = np.bincount(items.category, amount[owner] * part, minlength=len(items.names))
        every = np.append(total, amount[length == 0].sum())
        shares.append(every / max(float(every.sum()), 1.0))
    names = [*(facet.name for facet in items.names), NO_CATEGORY]
    found = [CategoryShare(name, float(a), float(b)) for name, a, b in zip(names, *shares, strict=True) if a or b]
    return tuple(sorted(found, key=lambda share: (-share.exposure, share.category)))

"""Features that are cheap for many items: what the sources say, nearness to the user's items, and the item itself."""

import numpy as np

from interest.batch import Doubles, Floats, Longs, UserBatch
from interest.catalogue import CatalogueView
from ranking.batch import CandidateBatch
from ranking.item_features import ITEM_FEATURES, item_features, ranks
from ranking.item_statistics import ItemStatistics
from ranking.neighbours import NEAR_FEATURES
from ranking.popularity import Popularity
from ranking.sources import SCORES

RANKED_SOURCES = ("collaborative", "session", "together", "content", "together_recent", "together_session")
SHARED_SOURCES = (
    "collaborative",
    "together",
    "collaborative_recent",
    "together_recent",
)  # score over the user's greatest one

POOL_FEATURES: tuple[str, ...] = (
    *(f"source_{source}" for source in SCORES),
    *(f"{source}_rank" for source in RANKED_SOURCES),
    *(f"{source}_share" for source in SHARED_SOURCES),
    *NEAR_FEATURES,
    *ITEM_FEATURES,
)
POOL_RISING = ("source_collaborative", "source_content")  # see `ranking.features.RISING`


def pool_columns(
    users: UserBatch,
    candidates: CandidateBatch,
    view: CatalogueView,
    popularity: Popularity,
    statistics: ItemStatistics,
) -> list[Floats | Doubles]:
    """Columns [N] in the order of `POOL_FEATURES`, everything as of each user's `now`; NaN where unknown."""
    offsets = candidates.candidate_offsets
    user = np.repeat(np.arange(len(users.now)), np.diff(offsets))
    return [
        *_source_features(candidates, user),
        *statistics.neighbours.features(users, candidates),
        *item_features(users, user, candidates.candidate_item, offsets, view, popularity, statistics),
    ]


def greatest_of_users(values: Doubles, offsets: Longs) -> Doubles:
    """Greatest value of each slice, [B]; -inf for an empty one."""
    greatest = np.full(len(offsets) - 1, -np.inf)
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        greatest[filled] = np.maximum.reduceat(values, offsets[filled])
    return greatest


def _source_features(candidates: CandidateBatch, user: Longs) -> list[Floats | Doubles]:
    scores, offsets = candidates.candidate_score, candidates.candidate_offsets
    of = dict(zip(SCORES, np.ascontiguousarray(scores.T), strict=True))
    places = ranks(np.stack([of[source] for source in RANKED_SOURCES]), user, offsets)
    return [*of.values(), *places, *(_share(of[source], user, offsets) for source in SHARED_SOURCES)]


def _share(scores: Floats, user: Longs, offsets: Longs) -> Doubles:
    known = np.where(np.isnan(scores), -np.inf, scores.astype(np.float64))
    greatest = greatest_of_users(known, offsets)[user]
    share: Doubles = scores / np.where(greatest > 0, greatest, np.nan)
    return share

"""Features of (user, candidate) pairs for the reranker, computed for the whole batch at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats, Longs, UserBatch
from interest.catalogue import CatalogueView
from interest.model import DAY_S
from interest.profile import HALF_LIVES_S
from ranking.batch import CandidateBatch
from ranking.facet_loop import compiled_overlap
from ranking.history import PairHistory, pair_history
from ranking.item_statistics import ItemStatistics
from ranking.pool_features import POOL_FEATURES, POOL_RISING, greatest_of_users, pool_columns
from ranking.popularity import Popularity

FEATURES: tuple[str, ...] = (
    *POOL_FEATURES,
    "own_acts",
    "own_glances",
    "own_negatives",
    "own_quantity",
    "own_last_act_days",
    "own_last_purchase_days",
    "own_last_glance_days",
    "own_first_act_days",
    "own_acts_before_latest_days",
    "own_due",
    "own_act_share",
    "own_session_share",
    "own_session_share_since",
    "own_sessions_after",
    *(f"own_decayed_{round(half_life_s / DAY_S)}d" for half_life_s in HALF_LIVES_S),
    "facet_overlap",
    "facet_overlap_share",
    "price",
    "price_to_usual",
    "user_acts",
    "user_items",
    "user_acts_per_item",
    "user_last_act_days",
    "user_first_act_days",
    "user_sessions",
    "user_acts_per_session",
    "user_usual_quantity",
    "repeats_offered",
)

RISING: tuple[str, ...] = (*POOL_RISING, "facet_overlap")
"""Features of which more never lowers a score, so that declaring an interest never works against it."""


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """`values` float32 [N, len(FEATURES)], column by column in memory, NaN where unknown.

    `muted` [N]: the item carries a facet the user muted.
    """

    values: Floats
    muted: npt.NDArray[np.bool_]


def make_features(
    users: UserBatch,
    candidates: CandidateBatch,
    view: CatalogueView,
    popularity: Popularity,
    statistics: ItemStatistics | None = None,
) -> FeatureBatch:
    """Everything as of each user's `now`. A pair's features do not depend on the other users of the batch."""
    statistics = ItemStatistics.nothing() if statistics is None else statistics
    offsets = candidates.candidate_offsets
    user = np.repeat(np.arange(len(users.now)), np.diff(candidates.candidate_offsets))
    rows = view.rows(candidates.candidate_item)
    overlap, share, muted = _facet_overlap(users, candidates, rows, view)
    history = pair_history(users)
    found = history.find(user, candidates.candidate_item)
    columns: list[Floats | Doubles] = [
        *pool_columns(users, candidates, view, popularity, statistics),
        *_history_features(users.now, history, found, user),
        overlap,
        share,
        *_price_features(users, user, rows, view),
        *_activity_features(users.now, history, found, user, offsets),
    ]
    by_feature = np.empty((len(FEATURES), len(user)), dtype=np.float32)  # as the trees read them
    for place, column in enumerate(columns):
        by_feature[place] = column
    return FeatureBatch(by_feature.T, muted)


def _history_features(instants: Doubles, history: PairHistory, found: Longs, user: Longs) -> list[Doubles]:
    now = instants[user]
    acts = _taken(history.acts, found, 0.0)
    last_act = _past(_taken(history.last_act, found, -np.inf))
    last_purchase = _past(_taken(history.last_purchase, found, -np.inf))
    first_act = _past(_taken(history.first_act, found, np.inf))
    last_glance = _past(_taken(history.last_glance, found, -np.inf))
    latest, total = _latest_and_total(history, len(instants))
    sessions = history.sessions(len(instants))
    before_first, until_last = _sessions_around(history, found, user)
    gap = (last_act - first_act) / np.where(acts > 1, acts - 1, np.nan)
    columns = [
        acts,
        _taken(history.glances, found, 0.0),
        _taken(history.negatives, found, 0.0),
        np.log1p(np.maximum(_taken(history.quantity, found, 0.0), 0.0)),
        _days(now - last_act),
        _days(now - last_purchase),
        _days(now - last_glance),
        _days(now - first_act),
        _days(latest[user] - last_act),
        (now - last_act) / np.where(gap > 0, gap, np.nan),
        acts / np.maximum(total[user], 1.0),
        acts / np.maximum(sessions[user], 1),
        acts / np.maximum(sessions[user] - before_first, 1),
        np.where(acts > 0, sessions[user] - until_last, np.nan),
    ]
    return [*columns, *(_taken(history.decayed[:, column], found, 0.0) for column in range(len(HALF_LIVES_S)))]


def _sessions_around(history: PairHistory, found: Longs, user: Longs) -> tuple[Doubles, Doubles]:
    """Of each pair: the user's sessions before its first act, and those up to and with its last one; 0 without acts."""
    acted = (found >= 0) & (_taken(history.acts, found, 0.0) > 0)
    before, until = np.zeros(len(found)), np.zeros(len(found))
    pairs, owner = found[acted], user[acted]
    before[acted] = history.sessions_until(owner, history.first_act[pairs]) - 1
    until[acted] = history.sessions_until(owner, history.last_act[pairs])
    return before, until


def _latest_and_total(history: PairHistory, users: int) -> tuple[Doubles, Doubles]:
    """Per user: time of the latest act (-inf without one) and the number of acts."""
    latest = np.full(users, -np.inf)
    np.maximum.at(latest, history.user, history.last_act)
    return latest, _sums(history.user, history.acts, users)


def _facet_overlap(
    users: UserBatch, candidates: CandidateBatch, rows: Longs, view: CatalogueView
) -> tuple[Doubles, Doubles, npt.NDArray[np.bool_]]:
    """Sum of user weight x item weight over shared facets; the same over the item's own sum; muted or not."""
    overlap, share, muted = np.empty(len(rows)), np.empty(len(rows)), np.empty(len(rows), dtype=np.bool_)
    compiled_overlap()(
        *[users.facet_offsets, users.facet_hash, users.facet_weight],
        *[view.facet_offsets, view.facet_hash, view.facet_weight],
        *[candidates.candidate_offsets, rows],
        *[overlap, share, muted],
    )
    return overlap, share, muted


def _price_features(users: UserBatch, user: Longs, rows: Longs, view: CatalogueView) -> list[Doubles]:
    """ln(1 + price), and ln of the price over the geometric mean of what the user acted on."""
    padded = np.append(view.price, np.nan)  # row -1: unknown
    price = padded[rows]
    owner = np.repeat(np.arange(len(users.now)), np.diff(users.behaviour_offsets))
    bought = padded[view.rows(users.behaviour_item)]
    usable = bought > 0
    logs = np.bincount(owner[usable], np.log(bought[usable]), minlength=len(users.now))
    number = np.bincount(owner[usable], minlength=len(users.now))
    usual = logs / np.where(number > 0, number, np.nan)
    return [np.log1p(price), np.log(np.where(price > 0, price, np.nan)) - usual[user]]


def _activity_features(now: Doubles, history: PairHistory, found: Longs, user: Longs, offsets: Longs) -> list[Doubles]:
    latest, acts = _latest_and_total(history, len(now))
    first = np.full(len(now), np.inf)
    np.minimum.at(first, history.user, history.first_act)
    items = np.bincount(history.user, history.acts > 0, minlength=len(now))
    sessions = history.sessions(len(now))
    quantity = _sums(history.user, np.log1p(np.maximum(history.quantity, 0.0)), len(now))
    used = np.where(_taken(history.acts, found, 0.0) > 0, 1.0, 0.0)
    columns = [
        np.log1p(acts),
        np.log1p(items),
        acts / np.maximum(items, 1.0),
        _days(now - _past(latest)),
        _days(now - _past(first)),
        np.log1p(sessions),
        acts / np.maximum(sessions, 1),
        quantity / np.maximum(items, 1.0),
        greatest_of_users(used, offsets),
    ]
    return [column[user] for column in columns]


def _sums(groups: Longs, values: Doubles, number: int) -> Doubles:
    """Sum of the values of each group 0..number - 1, added in order."""
    sums: Doubles = np.bincount(groups, values, minlength=number).astype(np.float64)
    return sums


def _taken(values: Doubles, rows: Longs, missing: float) -> Doubles:
    taken: Doubles = np.take(np.append(values, missing), rows)  # row -1 is the missing one
    return taken


def _past(times: Doubles) -> Doubles:
    return np.where(np.isfinite(times), times, np.nan)


def _days(seconds: Doubles) -> Doubles:
    """Seconds as days, not below 0: the clock of features is rounded down."""
    return np.maximum(seconds, 0.0) / DAY_S

"""Features of the candidate item: how much it is wanted, since when, and how that compares with the user's taste."""

from collections.abc import Iterator

import numpy as np

from interest.batch import Doubles, Floats, Longs, UserBatch
from interest.catalogue import CatalogueView
from interest.model import DAY_S, STATISTICS
from ranking.item_statistics import ItemStatistics
from ranking.popularity import ALL_TIME, WINDOW, WINDOW_DAYS, Popularity
from ranking.score_order import PLACE_BITS, falling

YEAR_S = 365.25 * DAY_S
TRENDS = ((1, 7), (3, 14), (7, 30), (30, 90), (90, 180))  # days: the daily rate of one window over that of another
RANKED_DAYS = (1, 7, 30)

ITEM_FEATURES: tuple[str, ...] = (
    *(f"popularity_{days}d" for days in WINDOW_DAYS),
    "popularity_all",
    *(f"trend_{near}d_{far}d" for near, far in TRENDS),
    "trend_180d_all",
    *(f"popularity_rank_{days}d" for days in RANKED_DAYS),
    "item_age_days",
    "item_year_age",
    "popularity_to_usual",
    "item_age_to_usual",
    "item_year_to_usual",
    "user_usual_popularity",
    "user_usual_item_age",
    *(f"item_{name}" for name in STATISTICS),
)


def item_features(
    users: UserBatch,
    user: Longs,
    keys: Longs,
    offsets: Longs,
    view: CatalogueView,
    popularity: Popularity,
    statistics: ItemStatistics,
) -> list[Floats | Doubles]:
    """Columns [N] in the order of `ITEM_FEATURES` for the pairs (`user`, item `keys`), cut by `offsets` [B + 1]."""
    rows = view.rows(keys)
    owner = np.repeat(np.arange(len(users.now)), np.diff(users.behaviour_offsets))
    own_rows = view.rows(users.behaviour_item)
    counts, logs, trends, age = _wanted(users.now, offsets, rows, view, popularity)
    usual_popularity = _mean(owner, np.log1p(_own_month(users, own_rows, view, popularity)), len(users.now))[user]
    own_age = (users.behaviour_first_at - _first_at(own_rows, view, popularity)) / DAY_S
    usual_age = _mean(owner, np.log1p(np.maximum(own_age, 0.0)), len(users.now))[user]
    usual_year = _mean(owner, _taken(view.year, own_rows), len(users.now))[user]
    year = _taken(view.year, rows)
    return [
        *logs,
        *trends,
        *ranks(counts, user, offsets),
        age,
        users.now[user] / YEAR_S + 1970.0 - year,
        logs[WINDOW[30]] - usual_popularity,
        np.log1p(age) - usual_age,
        year - usual_year,
        usual_popularity,
        usual_age,
        *statistics.find(keys).astype(np.float64).T,
    ]


def ranks(scores: Floats | Doubles, user: Longs, offsets: Longs) -> Floats:
    """Place of each score [k, N] among those of its row and its user, 0 is the greatest; NaN for NaN.

    Equal scores: in candidate order. Scores are compared as float32.
    """
    unknown = np.isnan(scores)
    width = int(np.diff(offsets).max(initial=0))
    size = (len(offsets) - 1) * width
    cell = user * width + np.arange(len(user)) - offsets[user]
    table = np.full((len(scores), size), -np.inf, dtype=np.float32)
    table[:, cell] = np.where(unknown, -np.inf, scores)
    numbers = falling(table.reshape(len(scores) * (len(offsets) - 1), width), np.arange(width))
    numbers.sort(axis=1)
    numbers &= PLACE_BITS
    numbers += width * np.arange(len(numbers))[:, None]
    places = np.empty(table.shape, dtype=np.float32)
    places.ravel()[numbers] = np.arange(width, dtype=np.float32)
    found = places[:, cell]
    found[unknown] = np.nan
    return found


def _wanted(
    now: Doubles, offsets: Longs, rows: Longs, view: CatalogueView, popularity: Popularity
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Of the items in these rows of the view, as of the `now` of the user they belong to: counts in the windows of
    `RANKED_DAYS` [3, N], ln(1 + count) in all windows [windows, N], trends [6, N], age in days [N].

    Where a stretch of users asks for more than the whole view holds, that is looked at once.
    """
    found = np.empty((len(RANKED_DAYS) + ALL_TIME + 1 + len(TRENDS) + 1 + 1, len(rows)))
    for instant, part in _stretches(now, offsets):
        some = rows[part]
        if len(some) > len(view):
            everything = np.append(np.arange(len(view)), -1)
            found[:, part] = np.take(_wanted_at(instant, everything, view, popularity), some, axis=1)
        else:
            found[:, part] = _wanted_at(instant, some, view, popularity)
    counts, logs, trends, age = np.split(found, np.cumsum([len(RANKED_DAYS), ALL_TIME + 1, len(TRENDS) + 1]))
    return counts, logs, trends, age[0]


def _wanted_at(instant: float, rows: Longs, view: CatalogueView, popularity: Popularity) -> Doubles:
    """The columns of `_wanted`, one below the other, as of one instant."""
    counts = _counts(instant, rows, view, popularity)
    age = (instant - _first_at(rows, view, popularity)) / DAY_S
    age[age < 0] = np.nan
    ranked = [counts[WINDOW[days]] for days in RANKED_DAYS]
    return np.stack([*ranked, *np.log1p(counts), *_trends(counts, age), age])


def _own_month(users: UserBatch, rows: Longs, view: CatalogueView, popularity: Popularity) -> Doubles:
    """Count of the last 30 days of each own item, NaN where the view does not know it."""
    month = np.full(len(rows), np.nan)
    for instant, part in _stretches(users.now, users.behaviour_offsets):
        month[part] = _counts(instant, rows[part], view, popularity)[WINDOW[30]]
    month[rows < 0] = np.nan
    return month


def _stretches(now: Doubles, offsets: Longs) -> Iterator[tuple[float, slice]]:
    """Users whose `now` is the same and who follow one another: that instant, and their slice of what is cut."""
    first = np.flatnonzero(np.diff(now, prepend=np.nan) != 0)
    ends = offsets[np.append(first, len(now))[1:]]
    for user, end in zip(first.tolist(), ends.tolist(), strict=True):
        yield float(now[user]), slice(int(offsets[user]), end)


def _counts(instant: float, rows: Longs, view: CatalogueView, popularity: Popularity) -> Doubles:
    """Counts [windows, n] of the items in these rows of the view; a row of -1 has counts of 0."""
    if not len(view):
        return np.zeros((ALL_TIME + 1, len(rows)))
    counts = popularity.counts(instant, view)[rows].T.astype(np.float64)
    counts[:, rows < 0] = 0.0
    return counts


def _first_at(rows: Longs, view: CatalogueView, popularity: Popularity) -> Doubles:
    """Unix seconds since when each item is there or wanted, NaN where neither is known."""
    first_at = np.full(len(rows), np.nan)
    known = rows >= 0
    first_at[known] = np.fmin(view.created_at[rows[known]], popularity.first_at(view.keys[rows[known]]))
    return first_at


def _trends(counts: Doubles, age: Doubles) -> list[Doubles]:
    rate = {days: counts[WINDOW[days]] / days for days in WINDOW_DAYS}
    always = counts[ALL_TIME] / np.maximum(np.nan_to_num(age, nan=1.0), 1.0)
    trends = [_log_ratio(rate[near], rate[far]) for near, far in TRENDS]
    return [*trends, _log_ratio(rate[180], always)]


def _log_ratio(numerator: Doubles, denominator: Doubles) -> Doubles:
    """ln of two daily rates, each with a thirtieth of an event a day added."""
    ratio: Doubles = np.log((numerator + 1 / 30) / (denominator + 1 / 30))
    return ratio


def _mean(owner: Longs, values: Doubles, users: int) -> Doubles:
    """Mean of each user's known values, [users]; NaN without any. Added in order."""
    known = ~np.isnan(values)
    number = np.bincount(owner[known], minlength=users)
    sums = np.bincount(owner[known], values[known], minlength=users)
    mean: Doubles = sums / np.where(number > 0, number, np.nan)
    return mean


def _taken(values: Doubles, rows: Longs) -> Doubles:
    found: Doubles = np.take(np.append(values, np.nan), rows)  # row -1 is unknown
    return found

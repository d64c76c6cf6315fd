"""Popularity: how much every item was wanted in several windows before any instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

import numpy as np

from interest.batch import Doubles, Floats, Longs
from interest.catalogue import CatalogueView
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.store.protocol import EventColumns
from ranking.recent import Recent
from ranking.score_order import top

DAY_S = 86_400.0
WINDOW_DAYS = (1, 3, 7, 14, 30, 60, 90, 180)
WINDOWS_S = (*(days * DAY_S for days in WINDOW_DAYS), float("inf"))
WINDOW = {days: column for column, days in enumerate(WINDOW_DAYS)}  # column of `Popularity.counts`
ALL_TIME = len(WINDOW_DAYS)  # the column of the whole log

TENTHS = 10.0
WEIGHT_TENTHS: Mapping[EventType, int] = {
    EventType.PURCHASE: 10,
    EventType.RATING: 10,
    EventType.LIKE: 10,
    EventType.FAVORITE: 10,
    EventType.SHARE: 10,
    EventType.CART: 7,
    EventType.COMMENT: 5,
    EventType.CLICK: 3,
    EventType.PORTION: 3,
    EventType.VIEW: 2,
}  # whole tenths, so that sums are exact in any order; what is absent (impressions, negatives) weighs nothing
WEIGHT_BY_CODE = np.array([WEIGHT_TENTHS.get(event_type, 0) for event_type in EVENT_TYPES], dtype=np.float64)
POSITIVE_CODES = tuple(EVENT_CODES[event_type] for event_type in WEIGHT_TENTHS)

TAIL_ROWS = 8_192  # newest events in log order, folded into the sorted ones beyond this
SNAPSHOT_ROWS = 8_192  # sums by item are kept every so many events, or every so many items if those are more
CACHED_INSTANTS = 64


@dataclass(frozen=True, slots=True)
class _Events:
    times: Doubles  # [n] unix seconds
    items: Longs  # [n] item keys
    tenths: Doubles  # [n] weights


@dataclass(frozen=True, slots=True)
class _State:
    version: int  # grows when a result that somebody may hold is no longer right
    sorted: _Events  # by time
    snapshots: tuple[Doubles, ...]  # [j]: tenths by item key of the first j * snapshot_rows sorted events
    snapshot_rows: int
    tail: _Events  # in log order
    first_at: Doubles  # by item key, inf where there is no event


class Popularity:
    """Weighted event counts as of any instant. `append` belongs to one thread; the rest may be called from any."""

    def __init__(self) -> None:
        nothing = _Events(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0))
        self._state = _State(0, nothing, (np.zeros(0),), SNAPSHOT_ROWS, nothing, np.zeros(0))
        self._newest_asked = -np.inf
        self._lock = Lock()
        self._counts: Recent[tuple[int, int, float], Floats] = Recent(CACHED_INSTANTS)
        self._orders: Recent[tuple[int, int, float, int], Longs] = Recent(len(WINDOWS_S) * CACHED_INSTANTS)

    def apart(self) -> "Popularity":
        """The same events, and what is asked of one is not held by the other: for a thread with instants of its own."""
        other = Popularity()
        other._state = self._state
        return other

    def append(self, events: EventColumns) -> None:
        """Count these events too, in any order of time; impressions and negative ones weigh nothing."""
        tenths = WEIGHT_BY_CODE[events.event_type]
        counted = tenths > 0
        if not counted.any():
            return
        old = self._state
        fresh = _Events(events.timestamp[counted], events.item_key[counted], tenths[counted])
        first_at = _first_times(old.first_at, fresh)
        tail = _joined(old.tail, fresh)
        merged, snapshots, step = old.sorted, old.snapshots, old.snapshot_rows
        if len(tail.times) > TAIL_ROWS:
            merged = _by_time(_joined(old.sorted, tail))
            step = max(SNAPSHOT_ROWS, len(first_at))
            snapshots = _snapshots(merged, len(first_at), step)
            tail = _Events(tail.times[:0], tail.items[:0], tail.tenths[:0])
        with self._lock:
            version = old.version + int(fresh.times.min() <= self._newest_asked)
            self._state = _State(version, merged, snapshots, step, tail, first_at)

    def counts(self, now: float, view: CatalogueView) -> Floats:
        """Weight sums of events in (now - window, now], float32 [n_rows, len(WINDOWS_S)]; read-only."""
        state = self._asked(now)
        return self._counts.get_or_make((state.version, len(view), now), lambda: _counts(state, now, view))

    def order(self, now: float, view: CatalogueView, window: int) -> Longs:
        """Rows with a count above 0 in this column of `counts`, most wanted first, ties by lower item key."""
        state = self._asked(now)
        return self._orders.get_or_make(
            (state.version, len(view), now, window),
            lambda: _descending(self.counts(now, view)[:, window], view.keys),
        )

    def first_at(self, keys: Longs) -> Doubles:
        """Unix seconds of the first counted event in the whole log of each item key [n], float64 [n]; NaN without."""
        first_at = self._state.first_at
        times = np.full(len(keys), np.nan)
        known = keys < len(first_at)
        times[known] = first_at[keys[known]]
        times[np.isinf(times)] = np.nan
        return times

    def _asked(self, now: float) -> _State:
        with self._lock:
            self._newest_asked = max(self._newest_asked, now)
            return self._state


def _counts(state: _State, now: float, view: CatalogueView) -> Floats:
    """Adds up disjoint stretches from the newest to the oldest, so that each event is visited once."""
    keys = len(state.first_at)
    events = state.sorted
    end = int(np.searchsorted(events.times, now, side="right"))
    running = np.zeros(keys)
    counts = np.zeros((len(view), len(WINDOWS_S)), dtype=np.float32)
    known = view.keys < keys
    for column, window_s in enumerate(WINDOWS_S):
        start = int(np.searchsorted(events.times, now - window_s, side="right"))
        running = running + _sums(state, start, end, keys)
        in_tail = (state.tail.times <= now) & (state.tail.times > now - window_s)
        recent = np.bincount(state.tail.items[in_tail], state.tail.tenths[in_tail], minlength=keys)
        counts[known, column] = (running + recent)[view.keys[known]] / TENTHS
        end = start
    counts.flags.writeable = False
    return counts


def _sums(state: _State, start: int, end: int, keys: int) -> Doubles:
    """Tenths by item key of the sorted events [start, end): what lies between snapshots is not visited."""
    step = state.snapshot_rows
    first, last = -(-start // step), end // step
    if first >= last:
        return _tenths(state.sorted, start, end, keys)
    sums = _tenths(state.sorted, start, first * step, keys) + _tenths(state.sorted, last * step, end, keys)
    earlier, later = state.snapshots[first], state.snapshots[last]
    sums[: len(later)] += later
    sums[: len(earlier)] -= earlier
    return sums


def _tenths(events: _Events, start: int, end: int, keys: int) -> Doubles:
    return np.bincount(events.items[start:end], events.tenths[start:end], minlength=keys).astype(np.float64, copy=False)


def _snapshots(events: _Events, keys: int, step: int) -> tuple[Doubles, ...]:
    snapshots = [np.zeros(keys)]
    for start in range(0, len(events.times) - step + 1, step):
        snapshots.append(snapshots[-1] + _tenths(events, start, start + step, keys))
    return tuple(snapshots)


def _descending(counts: Floats, keys: Longs) -> Longs:
    rows = np.flatnonzero(counts > 0)
    order: Longs = rows[top(keys[rows], counts[rows], len(rows))]
    return order


def _first_times(old: Doubles, fresh: _Events) -> Doubles:
    first_at = np.full(max(len(old), int(fresh.items.max()) + 1), np.inf)
    first_at[: len(old)] = old
    np.minimum.at(first_at, fresh.items, fresh.times)
    return first_at


def _joined(first: _Events, second: _Events) -> _Events:
    return _Events(
        np.concatenate([first.times, second.times]),
        np.concatenate([first.items, second.items]),
        np.concatenate([first.tenths, second.tenths]),
    )


def _by_time(events: _Events) -> _Events:
    order = np.argsort(events.times, kind="stable")
    return _Events(events.times[order], events.items[order], events.tenths[order])

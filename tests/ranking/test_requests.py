"""Past requests: session starts, what was wanted afterwards, nothing from before."""

import numpy as np
from numpy.testing import assert_array_equal

from interest.events import EVENT_CODES, EventType
from interest.store.protocol import EventColumns
from ranking.requests import latest_requests, past_requests, windows

HOUR_S = 3_600.0
Row = tuple[int, int, EventType, float]  # user key, item key, type, hours


def log(rows: list[Row]) -> EventColumns:
    return EventColumns(
        seq=np.arange(len(rows)),
        user_key=np.array([row[0] for row in rows], dtype=np.int64),
        item_key=np.array([row[1] for row in rows], dtype=np.int64),
        event_type=np.array([EVENT_CODES[row[2]] for row in rows], dtype=np.int8),
        timestamp=np.array([row[3] * HOUR_S for row in rows], dtype=np.float64),
        value=np.full(len(rows), np.nan),
    )


LOG = log(
    [
        (1, 30, EventType.PURCHASE, 100.0),
        (1, 10, EventType.PURCHASE, 101.0),
        (1, 10, EventType.LIKE, 101.0),
        (1, 40, EventType.PURCHASE, 120.0),
        (1, 50, EventType.VIEW, 101.0),
        (1, 60, EventType.DISLIKE, 101.0),
        (2, 70, EventType.CLICK, 110.0),
        (2, 80, EventType.LIKE, 50.0),
    ]
)


def test_a_request_comes_one_second_before_a_session_and_wants_what_followed() -> None:
    found = past_requests(LOG, 60 * HOUR_S, 115 * HOUR_S, 10 * HOUR_S, 5, np.random.default_rng(0))
    assert_array_equal(found.user_key, [1, 2])
    assert_array_equal(found.as_of, np.array([100.0, 110.0]) * HOUR_S - 1.0)
    assert_array_equal(found.wanted_offsets, [0, 2, 3])
    assert_array_equal(found.wanted, [10, 30, 70])


def test_the_horizon_reaches_beyond_the_window_but_the_start_does_not() -> None:
    found = past_requests(LOG, 60 * HOUR_S, 115 * HOUR_S, 30 * HOUR_S, 5, np.random.default_rng(0))
    assert_array_equal(found.wanted, [10, 30, 40, 70])
    assert len(past_requests(LOG, 101 * HOUR_S, 110 * HOUR_S, HOUR_S, 5, np.random.default_rng(0))) == 0


def test_at_most_so_many_sessions_a_user_by_chance_that_repeats() -> None:
    rows: list[Row] = [(user, 1, EventType.LIKE, 10.0 * visit) for user in (1, 2) for visit in range(20)]
    first, again = (past_requests(log(rows), 0, 1e9, HOUR_S, 3, np.random.default_rng(7)) for _ in range(2))
    assert_array_equal(first.user_key, [1, 1, 1, 2, 2, 2])
    assert_array_equal(first.as_of, again.as_of)


def test_the_latest_sessions_of_each_user_that_were_late_enough_but_never_the_first_of_all() -> None:
    found = latest_requests(LOG, 60 * HOUR_S, 30 * HOUR_S, 1, 10, np.random.default_rng(0))
    assert_array_equal(found.user_key, [1, 2])
    assert_array_equal(found.as_of, np.array([120.0, 110.0]) * HOUR_S - 1.0)
    assert_array_equal(found.wanted, [40, 70])
    for start, per_user, users in ((0, 2, [1, 2]), (60, 2, [1, 2]), (115, 2, [1]), (60, 9, [1, 2])):
        found = latest_requests(LOG, start * HOUR_S, HOUR_S, per_user, 10, np.random.default_rng(0))
        assert_array_equal(found.user_key, users)
    visits = log([(1, 1, EventType.LIKE, 10.0 * visit) for visit in range(5)])
    for per_user, hours in ((2, [30.0, 40.0]), (9, [10.0, 20.0, 30.0, 40.0])):
        found = latest_requests(visits, 0, HOUR_S, per_user, 10, np.random.default_rng(0))
        assert_array_equal(found.as_of, np.array(hours) * HOUR_S - 1.0)
    assert len(latest_requests(LOG, 60 * HOUR_S, HOUR_S, 2, 1, np.random.default_rng(0))) == 1
    assert len(latest_requests(log([]), 0, 1, 1, 1, np.random.default_rng(0))) == 0


def test_requests_know_whether_something_is_wanted_that_was_acted_on_before_them() -> None:
    rows: list[Row] = [(1, item, EventType.LIKE, at) for item, at in ((5, 0.0), (6, 10.0), (6, 10.5), (5, 20.0))]
    rows += [(2, 5, EventType.LIKE, 0.0), (2, 7, EventType.VIEW, 1.0), (2, 7, EventType.LIKE, 10.0)]
    found = past_requests(log(rows), 0, 1e9, HOUR_S, 9, np.random.default_rng(0))
    assert_array_equal(found.user_key, [1, 1, 1, 2, 2])
    assert_array_equal(found.again, [False, False, True, False, False])
    assert_array_equal(found.take(np.array([2, 0])).again, [True, False])


def test_taking_requests_keeps_their_wanted_items() -> None:
    found = past_requests(LOG, 60 * HOUR_S, 115 * HOUR_S, 10 * HOUR_S, 5, np.random.default_rng(0))
    part = found.take(np.array([1]))
    assert_array_equal(part.user_key, [2])
    assert_array_equal(part.wanted, [70])
    assert_array_equal(part.wanted_offsets, [0, 1])
    assert len(found.take(np.zeros(0, dtype=np.int64))) == 0


def test_windows_hold_as_many_events_each_and_end_after_the_last() -> None:
    rows: list[Row] = [(1, 1, EventType.LIKE, float(hour)) for hour in range(101)]
    found = windows(log(rows), 2, 0.5)
    assert [start / HOUR_S for start, _ in found] == [50.0, 75.0]
    assert found[0][1] == found[1][0]
    assert found[1][1] > 100 * HOUR_S


def test_a_log_without_events_or_of_one_instant_has_no_or_few_windows() -> None:
    assert windows(log([]), 4, 0.5) == []
    assert len(windows(log([(1, 1, EventType.LIKE, 5.0)] * 3), 4, 0.5)) == 1
    assert len(past_requests(log([]), 0, 1, 1, 1, np.random.default_rng(0))) == 0

"""New items: their events are hidden, and requests are for what was then wanted of them, among others like them."""

import numpy as np
from numpy.testing import assert_array_equal

from interest.batch import UserBatch, ragged_offsets
from interest.store.protocol import EventColumns
from ranking.new_items import among_hidden, hidden_items, wanting, without_items
from ranking.offline import plain_requests
from ranking.requests import PastRequests


def log() -> EventColumns:
    """40 items with two events each."""
    item = np.repeat(np.arange(40) * 3, 2)
    zeros = np.zeros(80, dtype=np.int64)
    return EventColumns(
        np.arange(80), zeros, item, zeros.astype(np.int8), np.arange(80, dtype=np.float64), np.full(80, np.nan)
    )


def past(wanted: list[list[int]]) -> PastRequests:
    flat = np.array([key for keys in wanted for key in keys], dtype=np.int64)
    count = len(wanted)
    offsets = ragged_offsets([len(keys) for keys in wanted])
    return PastRequests(np.arange(count), np.full(count, 9.0), offsets, flat, np.zeros(count, dtype=np.bool_))


def owners(keys: list[list[int]]) -> UserBatch:
    """Users with a behaviour row for each of these item keys."""
    count, flat = len(keys), np.array([key for part in keys for key in part], dtype=np.int64)
    none, each = np.zeros((count, 2), dtype=np.float32), np.zeros(len(flat))
    return UserBatch(
        now=np.full(count, 9.0),
        vector=none,
        recent_vector=none,
        session_vector=none,
        content=none[:, None],
        behaviour_offsets=ragged_offsets([len(part) for part in keys]),
        behaviour_item=flat,
        behaviour_type=each.astype(np.int8),
        behaviour_count=each.astype(np.int32),
        behaviour_value=each,
        behaviour_first_at=each,
        behaviour_last_at=each,
        behaviour_decayed=np.zeros((len(flat), 3)),
        facet_offsets=np.zeros(count + 1, dtype=np.int64),
        facet_hash=np.zeros(0, dtype=np.uint64),
        facet_weight=np.zeros(0, dtype=np.float32),
    )


def test_a_share_of_the_items_is_hidden_with_all_their_events() -> None:
    events = log()
    hidden = hidden_items(events, 0.1, np.random.default_rng(0))
    assert len(hidden) == 4
    assert (np.diff(hidden) > 0).all()
    assert np.isin(hidden, events.item_key).all()
    left = without_items(events, hidden)
    assert len(left.seq) == 72
    assert not np.isin(left.item_key, hidden).any()
    assert not np.array_equal(hidden, hidden_items(events, 0.1, np.random.default_rng(1)))


def test_only_requests_that_wanted_a_hidden_item_stay_and_want_nothing_else() -> None:
    kept = wanting(past([[1, 4, 7], [2], [], [4, 9]]), np.array([4, 7, 8]))
    assert_array_equal(kept.user_key, [0, 3])
    assert_array_equal(kept.wanted_offsets, [0, 2, 3])
    assert_array_equal(kept.wanted, [4, 7, 4])


def test_candidates_are_the_wanted_items_and_other_hidden_ones_that_the_user_has_not() -> None:
    hidden = np.arange(10, 30)
    requests, users = past([[12, 20], [15]]), owners([[11, 13, 99], []])
    asked = among_hidden(plain_requests(requests.as_of, True, 8), users, requests, hidden, np.random.default_rng(0))
    assert asked.given.all()
    first, second = asked.given_item[: asked.given_offsets[1]], asked.given_item[asked.given_offsets[1] :]
    assert {12, 20} <= set(first.tolist()) <= set(hidden.tolist()) - {11, 13}
    assert 15 in second
    assert len(second) == 8
    for keys in (first, second):
        assert (np.diff(keys) > 0).all()
        assert len(keys) > 4
    few = among_hidden(plain_requests(requests.as_of, True, 1), users, requests, hidden, np.random.default_rng(0))
    assert few.given_item.tolist() == [12, 20, 15]

"""Newcomers: little is left of their history, nothing of what came later, and nothing they had is offered to them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from interest.catalogue import Catalogue
from interest.events import EVENT_CODES, EventType
from interest.items import Item
from interest.profile import declared_interests
from interest.store.protocol import EventColumns, ItemChange
from ranking.newcomers import MOST_DECLARED, MOST_EVENTS, Newcomers, as_newcomers
from ranking.requests import PastRequests

USERS, EACH, AS_OF = 40, 12, 10.5


def log() -> EventColumns:
    """User u buys item u * 100 + t at t = 0 .. 11; half past ten is the instant of every request."""
    user, time = np.repeat(np.arange(USERS), EACH), np.tile(np.arange(EACH, dtype=np.float64), USERS)
    item = user * 100 + time.astype(np.int64)
    kind = np.full(len(user), EVENT_CODES[EventType.PURCHASE], dtype=np.int8)
    columns = EventColumns(user * EACH + time.astype(np.int64), user, item, kind, time, np.full(len(user), np.nan))
    return columns.where(np.random.default_rng(1).permutation(len(user)))


def catalogue(tags: int) -> Catalogue:
    made = Catalogue()
    keys = [user * 100 + time for user in range(USERS) for time in range(EACH)]
    items = [Item(item_id=f"i{key}", title="", tags=tuple(f"tag{key}-{n}" for n in range(tags))) for key in keys]
    made.apply(
        [
            ItemChange(seq, key, item.item_id, item, None, "")
            for seq, (key, item) in enumerate(zip(keys, items, strict=True), 1)
        ]
    )
    return made


@pytest.fixture(scope="module")
def newcomers() -> Newcomers:
    people = np.append(np.arange(USERS), 99)  # the last one never did anything
    wanted = np.arange(len(people), dtype=np.int64)
    again = np.zeros(len(people), dtype=np.bool_)
    requests = PastRequests(people, np.full(len(people), AS_OF), np.arange(len(people) + 1), wanted, again)
    names = {int(user): f"u{user}" for user in people}
    return as_newcomers(log(), requests, 1.0, catalogue(2).view(), names, np.random.default_rng(0))


def test_all_that_users_had_until_the_request_is_kept_from_them(newcomers: Newcomers) -> None:
    assert_array_equal(newcomers.requests.user_key, np.arange(USERS))
    for place in range(USERS):
        own = newcomers.own[newcomers.own_offsets[place] : newcomers.own_offsets[place + 1]]
        assert_array_equal(own, place * 100 + np.arange(11))


def test_one_half_keeps_its_latest_events_and_the_other_says_what_it_likes(newcomers: Newcomers) -> None:
    kept, said = [], []
    for place, profile in enumerate(newcomers.profiles):
        assert profile.user_id == f"u{place}"
        keys = profile.behaviour.item_key
        declared = declared_interests(profile)
        if place % 2:
            assert not len(keys)
            assert max(declared.values()) == 1.0
            assert {facet.name.split("-")[0] for facet in declared} <= {
                f"tag{place * 100 + time}" for time in range(11)
            }
            said.append(len(declared))
        else:
            assert not declared
            assert_array_equal(keys, place * 100 + np.arange(11 - len(keys), 11))
            kept.append(len(keys))
    assert set(kept) == set(range(1, MOST_EVENTS + 1))
    assert min(said) == 1
    assert 5 < max(said) <= MOST_DECLARED


def test_a_part_is_the_same_people_alone(newcomers: Newcomers) -> None:
    some = newcomers.part(3, 5)
    assert_array_equal(some.requests.user_key, [3, 4])
    assert [profile.user_id for profile in some.profiles] == ["u3", "u4"]
    assert_array_equal(some.own_offsets, [0, 11, 22])
    assert_array_equal(some.own, np.concatenate([300 + np.arange(11), 400 + np.arange(11)]))
    assert len(newcomers.part(38, 102).requests) == 2

"""Profiles: what holds of declarations, and merging behaviour."""

import numpy as np
import pytest

from interest.events import Facet
from interest.profile import (
    HALF_LIVES_S,
    Behaviour,
    Declaration,
    InterestProfile,
    behaviour_of_events,
    declared_interests,
    empty_behaviour,
    empty_profile,
    merge_behaviour,
    reduce_behaviour,
)

TEA, JAZZ = Facet("tag", "tea"), Facet("tag", "jazz")


def behaviour(*rows: tuple[int, int, float, float]) -> Behaviour:
    """Rows of (item key, event type, timestamp, value)."""
    key, kind, at, value = zip(*rows, strict=True)
    events = behaviour_of_events(np.array(key), np.array(kind, dtype=np.int8), np.array(at), np.array(value))
    return reduce_behaviour(np.zeros(len(rows), dtype=np.int64), events)[1]


def test_an_empty_profile_knows_nothing() -> None:
    profile = empty_profile("u")
    assert (profile.events, profile.updated_at, declared_interests(profile)) == (0, 0.0, {})
    assert profile.behaviour.decayed.shape == (0, len(HALF_LIVES_S))


def test_events_of_one_item_and_type_become_one_row() -> None:
    rows = behaviour((7, 8, 100.0, 2.0), (3, 8, 50.0, np.nan), (7, 8, 40.0, 3.0), (7, 0, 60.0, np.nan))
    assert rows.item_key.tolist() == [3, 7, 7]
    assert rows.event_type.tolist() == [8, 0, 8]
    assert rows.count.tolist() == [1, 1, 2]
    assert rows.value.tolist() == [0.0, 0.0, 5.0]
    assert rows.first_at.tolist() == [50.0, 60.0, 40.0]
    assert rows.last_at.tolist() == [50.0, 60.0, 100.0]


@pytest.mark.parametrize("column", range(len(HALF_LIVES_S)))
def test_an_event_one_half_life_before_the_latest_counts_half(column: int) -> None:
    at = 1_000_000_000.0
    rows = behaviour((1, 8, at, 1.0), (1, 8, at - HALF_LIVES_S[column], 1.0))
    assert rows.decayed[0, column] == pytest.approx(1.5)


def test_a_late_event_counts_as_if_it_had_come_in_time() -> None:
    early, late = (1, 8, 1e9, 1.0), (1, 8, 1e9 + 5e6, 1.0)
    merged = merge_behaviour(behaviour(late), behaviour(early))
    assert np.allclose(merged.decayed, behaviour(early, late).decayed, rtol=1e-12)


def test_decay_over_decades_neither_overflows_nor_loses_the_latest() -> None:
    rows = behaviour((1, 8, 0.0, 1.0), (1, 8, 4e9, 1.0))
    assert np.allclose(rows.decayed, 1.0)


def test_merging_with_nothing_changes_nothing_and_writes_into_neither() -> None:
    some = behaviour((1, 8, 5.0, 1.0))
    for array in (some.item_key, some.decayed):
        array.flags.writeable = False
    merged = merge_behaviour(some, empty_behaviour())
    assert merged.item_key.tolist() == [1]
    assert merged.count.dtype == np.int32


def test_rows_of_several_users_are_kept_apart() -> None:
    events = behaviour_of_events(np.array([1, 1]), np.array([8, 8], dtype=np.int8), np.array([1.0, 2.0]), np.ones(2))
    users, rows = reduce_behaviour(np.array([1, 0]), events)
    assert users.tolist() == [0, 1]
    assert rows.last_at.tolist() == [2.0, 1.0]


def test_a_replacing_edit_hides_what_is_older_and_keeps_its_own() -> None:
    profile = InterestProfile(
        user_id="u",
        behaviour=empty_behaviour(),
        declared={TEA: Declaration(0.5, 10.0, "a"), JAZZ: Declaration(0.9, 10.0, "b")},
        cleared=(10.0, "b"),
    )
    assert declared_interests(profile) == {JAZZ: 0.9}


def test_a_declaration_that_was_taken_back_does_not_hold() -> None:
    declared = {TEA: Declaration(None, 10.0, "a"), JAZZ: Declaration(0.0, 10.0, "a")}
    profile = InterestProfile(user_id="u", behaviour=empty_behaviour(), declared=declared)
    assert declared_interests(profile) == {JAZZ: 0.0}

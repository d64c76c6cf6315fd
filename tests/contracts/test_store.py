"""What every store must do with events, edits, instants and erasures, whatever database is behind it."""

import time

import numpy as np
import pytest

from interest.errors import ConflictingWrite, InvalidRequest
from interest.events import EVENT_CODES, EventType
from interest.profile import declared_interests, empty_profile
from tests.contracts.store_cases import (
    JAZZ,
    NOON,
    TEA,
    Store,
    assert_same,
    edit,
    event,
    item,
    keys_of,
    shown,
)


def test_an_event_is_in_the_profile_that_the_next_reader_sees(store: Store) -> None:
    writer, reader = store
    result = writer.append([event("e1", value=2.0)])
    assert (result.accepted, result.duplicates, result.seq) == (1, 0, reader.log_seq())
    profile = reader.profiles(["u1"])[0]
    assert (profile.events, profile.updated_at, profile.behaviour.value.tolist()) == (1, NOON, [2.0])


def test_profiles_come_in_the_order_asked_for_and_are_empty_for_strangers(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1", user_id="u2"), event("e2", user_id="u1")])
    profiles = reader.profiles(["u1", "nobody", "u2", "u1"])
    assert [(profile.user_id, profile.events) for profile in profiles] == [
        ("u1", 1),
        ("nobody", 0),
        ("u2", 1),
        ("u1", 1),
    ]
    assert reader.profiles([]) == []


def test_the_same_event_again_is_a_duplicate_and_changes_nothing(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1"), event("e2"), event("e1")])
    before = reader.profiles(["u1"])[0]
    result = writer.append([event("e2"), event("e1")])
    assert (result.accepted, result.duplicates) == (0, 2)
    assert_same(reader.profiles(["u1"])[0], before)


def test_the_same_id_with_another_body_is_a_conflict_and_nothing_of_its_batch_is_written(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1")])
    with pytest.raises(ConflictingWrite, match="'e1'"):
        writer.append([event("e2", item_id="new", user_id="new"), event("e1", value=3.0)])
    assert reader.counts()["events"] == 1
    assert reader.user_ids() == ["u1"]
    assert writer.append([event("e2", item_id="other")]).accepted == 1


def test_two_bodies_for_one_id_within_a_batch_are_a_conflict(store: Store) -> None:
    writer, reader = store
    with pytest.raises(ConflictingWrite, match="'e1'"):
        writer.append([event("e1"), event("e1", item_id="i2")])
    assert reader.log_seq() == 0


def test_a_retry_of_an_event_that_the_server_stamped_is_a_duplicate_at_any_time(store: Store) -> None:
    writer, _ = store
    writer.append([event("e1", stamped=True)])
    assert writer.append([event("e1", stamped=True, timestamp=NOON + 5)]).duplicates == 1
    with pytest.raises(ConflictingWrite):
        writer.append([event("e1", stamped=True, timestamp=NOON + 5, item_id="i2")])


@pytest.mark.parametrize("broken", [{"timestamp": float("nan")}, {"value": float("inf")}])
def test_numbers_that_are_not_finite_are_refused_by_name(store: Store, broken: dict[str, float]) -> None:
    writer, reader = store
    with pytest.raises(InvalidRequest, match="'e1'"):
        writer.append([event("e1", **broken)])
    assert reader.log_seq() == 0


def test_an_event_of_an_unknown_item_counts_once_the_item_exists(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1", item_id="later")])
    assert reader.item_changes(0) == []
    assert reader.counts()["items"] == 0
    writer.put_items([item("later")], None, "")
    assert reader.profiles(["u1"])[0].behaviour.item_key.tolist() == [keys_of(reader)["later"]]


def test_event_columns_are_the_log_from_a_number_on(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1", value=2.0), event("e2", user_id="u2", type=EventType.VIEW, timestamp=NOON - 1)])
    columns = reader.event_columns()
    assert columns.seq.tolist() == [1, 2]
    assert columns.user_key.tolist() == reader.user_keys(["u1", "u2"]).tolist()
    assert columns.event_type.tolist() == [EVENT_CODES[EventType.PURCHASE], EVENT_CODES[EventType.VIEW]]
    assert columns.timestamp.tolist() == [NOON, NOON - 1]
    assert columns.value[0] == 2.0
    assert np.isnan(columns.value[1])
    assert reader.event_columns(after_seq=1).seq.tolist() == [2]
    assert reader.event_columns(limit=1).seq.tolist() == [1]
    assert reader.event_columns(after_seq=2).item_key.dtype == np.int64


def test_events_of_a_user_come_newest_first_with_everything_they_said(store: Store) -> None:
    writer, reader = store
    told = event(
        "e2", timestamp=NOON + 9, text="你好", session_id="s", recommendation_id="rec_1", position=0, value=1.5
    )
    writer.append([told, event("e1"), event("e3", user_id="u2")])
    assert reader.events_of("u1") == [told, event("e1")]
    assert reader.events_of("u1", limit=1) == [told]
    assert reader.events_of("nobody") == []


def test_users_of_a_log_have_keys_and_strangers_have_none(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1", user_id="b"), event("e2", user_id="a")])
    assert reader.user_ids() == ["a", "b"]
    assert reader.user_ids(limit=1) == ["a"]
    found = reader.user_keys(["a", "nobody", "b"])
    assert found[1] == -1
    assert found[0] != found[2]


def test_the_newest_event_is_told_by_its_own_time(store: Store) -> None:
    writer, reader = store
    assert reader.last_event_at() is None
    writer.append([event("e1", timestamp=NOON + 5), event("e2", timestamp=NOON)])
    assert reader.last_event_at() == NOON + 5


def test_a_declaration_without_any_event_makes_a_user(store: Store) -> None:
    writer, reader = store
    writer.append([edit("r1", tea=0.8)])
    profile = reader.profiles(["u1"])[0]
    assert declared_interests(profile) == {TEA: 0.8}
    assert (profile.events, reader.user_ids()) == (0, ["u1"])


def test_a_replacing_edit_forgets_and_another_one_adds(store: Store) -> None:
    writer, reader = store
    writer.append([edit("r1", NOON, tea=0.8)])
    writer.append([edit("r2", NOON + 1, jazz=0.4), edit("r3", NOON + 2, tea=None)])
    assert declared_interests(reader.profiles(["u1"])[0]) == {JAZZ: 0.4}
    writer.append([edit("r4", NOON + 3, replace=True, tea=1.0)])
    assert declared_interests(reader.profiles(["u1"])[0]) == {TEA: 1.0}
    assert declared_interests(reader.profiles(["u1"], as_of=NOON + 1)[0]) == {TEA: 0.8, JAZZ: 0.4}


def test_a_retried_edit_is_a_duplicate_at_any_time_and_another_body_a_conflict(store: Store) -> None:
    writer, _ = store
    writer.append([edit("r1", NOON, tea=0.8)])
    assert writer.append([edit("r1", NOON + 7, tea=0.8)]).duplicates == 1
    with pytest.raises(ConflictingWrite, match="'r1'"):
        writer.append([edit("r1", NOON, tea=0.9)])


def test_a_profile_as_of_an_instant_holds_what_was_known_by_then(store: Store) -> None:
    writer, reader = store
    writer.append([event("e3", timestamp=NOON + 2), event("e1", timestamp=NOON), event("e2", timestamp=NOON + 1)])
    counts = [reader.profiles(["u1"], as_of=NOON + after)[0].events for after in (-0.5, 0.0, 1.0, 9.0)]
    assert counts == [0, 1, 2, 3]
    assert_same(reader.profiles(["u1"], as_of=NOON + 9)[0], reader.profiles(["u1"])[0])


def test_each_user_may_have_an_instant_of_its_own_even_the_same_user_twice(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1"), event("e2", timestamp=NOON + 1), event("e3", user_id="u2", timestamp=NOON + 1)])
    found = reader.profiles_as_of(["u1", "nobody", "u2", "u1", "u2"], [NOON, NOON, NOON, NOON + 1, NOON + 1])
    assert [profile.events for profile in found] == [1, 0, 0, 2, 1]
    assert [profile.user_id for profile in found] == ["u1", "nobody", "u2", "u1", "u2"]


def test_erasing_a_user_removes_every_trace_and_says_how_much_it_was(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1"), event("e2"), event("e3", user_id="u2"), edit("r1", tea=0.5)])
    writer.log_impressions([shown(0, text="Tea.", source="model", origin="[1]"), shown(1, user_id="u2", origin="[2]")])
    before = reader.log_seq()
    receipt = writer.erase_user("u1")
    assert (receipt.events, receipt.edits, receipt.impressions) == (2, 1, 1)
    assert reader.log_seq() > before
    assert reader.user_ids() == ["u2"]
    assert_same(reader.profiles(["u1"])[0], empty_profile("u1"))
    assert reader.profiles(["u1"], as_of=NOON + 9)[0].events == 0
    assert reader.events_of("u1") == []
    assert [impression.user_id for impression in reader.impressions_of("rec_1")] == ["u2"]
    assert [impression.user_id for impression in reader.texts_since(0.0)] == ["u2"]
    assert len(reader.event_columns().seq) == 1


def test_a_retried_event_cannot_bring_an_erased_user_back(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1"), edit("r1", tea=0.5)])
    writer.erase_user("u1")
    result = writer.append([event("e1"), event("e1"), edit("r1", tea=0.5)])
    assert (result.accepted, result.duplicates) == (0, 3)
    assert writer.append([event("e1", item_id="other body")]).duplicates == 1
    assert reader.user_ids() == []


def test_an_erased_user_who_comes_back_starts_anew_under_another_key(store: Store) -> None:
    writer, reader = store
    writer.append([event("e1")])
    old = reader.user_keys(["u1"])[0]
    writer.erase_user("u1")
    assert writer.append([event("e2")]).accepted == 1
    assert reader.profiles(["u1"])[0].events == 1
    assert reader.user_keys(["u1"])[0] not in (old, -1)


def test_impressions_on_their_way_do_not_outlive_the_erasure_of_their_user(store: Store) -> None:
    writer, reader = store
    before = shown(0, requested_at=time.time())
    writer.erase_user("u1")
    other, after = shown(1, user_id="u2", requested_at=before.requested_at), shown(2, requested_at=time.time() + 1)
    writer.log_impressions([before, other, after])
    assert reader.impressions_of("rec_1") == [other, after]


def test_erasing_a_stranger_gives_a_receipt_of_nothing(store: Store) -> None:
    writer, _ = store
    first, second = writer.erase_user("nobody"), writer.erase_user("nobody")
    assert (first.events, first.edits, first.impressions) == (0, 0, 0)
    assert first.receipt_id != second.receipt_id


def test_impressions_of_a_span_come_by_time_without_their_texts(store: Store) -> None:
    writer, reader = store
    assert reader.last_impression_at() is None
    early = shown(0, recommendation_id="rec_0", timestamp=NOON - 1)
    first, second = shown(0, text="Said.", source="model"), shown(1)
    late = shown(0, recommendation_id="rec_0b", timestamp=NOON + 1)
    writer.log_impressions([late, second, early, first])
    assert reader.impressions_since(NOON) == [shown(0), second, late]
    assert reader.last_impression_at() == NOON + 1


def test_events_of_a_span_come_by_time_and_only_of_the_types_asked_for(store: Store) -> None:
    writer, reader = store
    told = [
        event("e1", timestamp=NOON + 2, type=EventType.CLICK, recommendation_id="rec_1", position=3),
        event("e2", timestamp=NOON - 1),
        event("e3", user_id="u2", item_id="i9"),
        event("e4", type=EventType.VIEW),
    ]
    writer.append(told)
    assert reader.events_since(NOON, [EventType.PURCHASE, EventType.CLICK]) == [told[2], told[0]]
    assert reader.events_since(NOON, []) == []

"""The fold: any order, any split, late or not, the same profile as the sorted log gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interest.batch import UserRequest
from interest.events import EVENT_CODES, EventType, Facet, InterestEdit
from interest.fold import FoldEvent, FoldRecord, fold, with_history
from interest.profile import HALF_LIVES_S, InterestProfile, declared_interests, empty_profile
from interest.profile_codec import decode, encode

COMMENT, PURCHASE = EVENT_CODES[EventType.COMMENT], EVENT_CODES[EventType.PURCHASE]
TEA, JAZZ = Facet("tag", "tea"), Facet("tag", "jazz")

instants = st.floats(min_value=1.2e9, max_value=1.8e9) | st.sampled_from([1.3e9, 1.3e9 + 1, 1.4e9])
events = st.builds(
    FoldEvent,
    item_key=st.integers(1, 4),
    event_type=st.sampled_from([0, 4, PURCHASE, COMMENT]),
    timestamp=instants,
    value=st.none() | st.floats(-5, 100),
    text=st.sampled_from(["", "lovely blue cups", "cups and tea"]),
)
facets = st.tuples(
    st.builds(Facet, st.sampled_from(["tag", "category"]), st.sampled_from(["tea", "Tea", "jazz"])),
    st.none() | st.sampled_from([0.0, 0.3, 1.0]),
)
unnamed_edits = st.tuples(instants, st.lists(facets, max_size=3).map(tuple), st.booleans())


def named(position: int, told: tuple[float, tuple[tuple[Facet, float | None], ...], bool]) -> InterestEdit:
    timestamp, stated, replace = told
    return InterestEdit(record_id=f"r{position}", user_id="u", timestamp=timestamp, facets=stated, replace=replace)


edits = st.lists(unnamed_edits, max_size=6).map(lambda told: [named(*entry) for entry in enumerate(told)])
logs = st.tuples(st.lists(events, max_size=25), edits).map(lambda parts: [*parts[0], *parts[1]])


def at(record: FoldRecord) -> float:
    return record.timestamp


def assert_same(left: InterestProfile, right: InterestProfile) -> None:
    """Equal up to a relative error of 1e-6 in the sums."""
    assert np.array_equal(left.behaviour.item_key, right.behaviour.item_key)
    assert np.array_equal(left.behaviour.event_type, right.behaviour.event_type)
    assert np.array_equal(left.behaviour.count, right.behaviour.count)
    assert np.array_equal(left.behaviour.first_at, right.behaviour.first_at)
    assert np.array_equal(left.behaviour.last_at, right.behaviour.last_at)
    assert np.allclose(left.behaviour.value, right.behaviour.value, rtol=1e-6, atol=1e-6)
    assert np.allclose(left.behaviour.decayed, right.behaviour.decayed, rtol=1e-6, atol=1e-6)
    assert (left.declared, left.cleared) == (right.declared, right.cleared)
    assert (left.events, left.updated_at) == (right.events, right.updated_at)
    assert left.keywords.keys() == right.keywords.keys()
    for keyword, (decayed, last_at) in left.keywords.items():
        assert right.keywords[keyword] == pytest.approx((decayed, last_at), rel=1e-6)


@pytest.mark.thorough
@given(log=logs, data=st.data())
@settings(deadline=None)
def test_any_order_and_any_split_give_the_profile_of_the_sorted_log(log: list[FoldRecord], data: st.DataObject) -> None:
    expected = fold(empty_profile("u"), sorted(log, key=at))
    shuffled = data.draw(st.permutations(log))
    profile, rest = empty_profile("u"), list(shuffled)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        profile, rest = fold(profile, rest[:size]), rest[size:]
    assert_same(profile, expected)


@pytest.mark.thorough
@given(log=logs)
@settings(deadline=None)
def test_a_profile_survives_its_bytes(log: list[FoldRecord]) -> None:
    profile = fold(empty_profile("u"), log)
    again = decode("u", encode(profile))
    assert_same(again, profile)
    assert encode(again) == encode(profile)


@pytest.mark.thorough
@given(log=st.lists(events, min_size=1, max_size=15))
@settings(deadline=None)
def test_the_decayed_sums_are_what_the_formula_says(log: list[FoldEvent]) -> None:
    rows = fold(empty_profile("u"), log).behaviour
    for row in range(len(rows.item_key)):
        own = [e.timestamp for e in log if (e.item_key, e.event_type) == (rows.item_key[row], rows.event_type[row])]
        for column, half_life_s in enumerate(HALF_LIVES_S):
            expected = sum(2.0 ** (-(max(own) - timestamp) / half_life_s) for timestamp in own)
            assert rows.decayed[row, column] == pytest.approx(expected, rel=1e-9)


@pytest.mark.thorough
@given(told=edits)
@settings(deadline=None)
def test_declared_interests_are_those_of_the_edits_played_back_in_order(told: list[InterestEdit]) -> None:
    played: dict[tuple[str, str], float | None] = {}
    for edit in sorted(told, key=lambda edit: (edit.timestamp, edit.record_id)):
        if edit.replace:
            played.clear()
        played.update({(facet.kind, facet.name.casefold()): weight for facet, weight in edit.facets})
    found = declared_interests(fold(empty_profile("u"), told))
    assert {(facet.kind, facet.name.casefold()): weight for facet, weight in found.items()} == {
        facet: weight for facet, weight in played.items() if weight is not None
    }


def test_the_fold_leaves_its_input_alone() -> None:
    before = fold(empty_profile("u"), [FoldEvent(1, COMMENT, 1.3e9, None, "blue cups")])
    blob = encode(before)
    fold(before, [FoldEvent(1, COMMENT, 1.4e9, None, "blue tea"), named(0, (1.4e9, ((TEA, 0.5),), True))])
    assert encode(before) == blob


def test_comments_give_keywords_that_decay_in_thirty_days() -> None:
    first = FoldEvent(1, COMMENT, 1.3e9, None, "lovely blue cups")
    second = FoldEvent(2, COMMENT, 1.3e9 + 30 * 86_400, None, "a blue plate")
    profile = fold(empty_profile("u"), [second, first])
    assert profile.keywords["blue"] == pytest.approx((1.5, 1.3e9 + 30 * 86_400))
    assert profile.keywords["cup"] == pytest.approx((1.0, 1.3e9))


def test_only_comments_speak_for_the_user() -> None:
    assert fold(empty_profile("u"), [FoldEvent(1, PURCHASE, 1.3e9, 1.0, "blue cups")]).keywords == {}


def test_a_chinese_comment_is_read_as_chinese() -> None:
    assert "编程" in fold(empty_profile("u"), [FoldEvent(1, COMMENT, 1.3e9, None, "编程入门课程")]).keywords


def test_of_two_edits_at_one_instant_the_greater_record_id_wins() -> None:
    low, high = named(1, (1.3e9, ((TEA, 0.1),), False)), named(2, (1.3e9, ((TEA, 0.9),), False))
    for order in ([low, high], [high, low]):
        assert declared_interests(fold(empty_profile("u"), order)) == {TEA: 0.9}


def test_a_late_edit_does_not_undo_a_newer_one() -> None:
    newer = fold(empty_profile("u"), [named(1, (1.4e9, ((TEA, 0.9),), True))])
    late = fold(newer, [named(0, (1.3e9, ((TEA, 0.1), (JAZZ, 0.5)), True))])
    assert declared_interests(late) == {TEA: 0.9}


def test_a_take_back_holds_against_an_older_declaration_that_comes_later() -> None:
    taken = fold(empty_profile("u"), [named(1, (1.4e9, ((TEA, None),), False))])
    assert declared_interests(fold(taken, [named(0, (1.3e9, ((TEA, 0.5),), False))])) == {}


def test_a_requests_own_history_counts_as_if_it_were_in_the_log_and_only_for_that_request() -> None:
    held = [FoldEvent(1, PURCHASE, 1.3e9), FoldEvent(2, 0, 1.3e9 + 5)]
    told = [FoldEvent(2, PURCHASE, 1.3e9 + 9, 2.0), FoldEvent(3, 0, 1.3e9 + 8), FoldEvent(2, 0, 1.3e9 + 7)]
    known = fold(empty_profile("known"), held)
    profiles = [empty_profile(""), known, known]
    asked = UserRequest(
        user_id=np.array(["", "known", "known"], dtype=object),
        now=np.full(3, 1.4e9),
        as_of=np.full(3, np.nan),
        history_offsets=np.array([0, 3, 3, 6]),
        history_item=np.array([event.item_key for event in told] * 2),
        history_type=np.array([event.event_type for event in told] * 2, dtype=np.int8),
        history_at=np.array([event.timestamp for event in told] * 2),
        history_value=np.array([np.nan if event.value is None else event.value for event in told] * 2),
    )
    folded = with_history(profiles, asked)
    assert_same(folded[0], fold(empty_profile(""), told))
    assert folded[1] is known
    assert_same(folded[2], fold(empty_profile("known"), held + told))
    assert known.events == 2

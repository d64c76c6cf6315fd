"""In every store a profile is the fold of its log, whatever the order, the split and the repeats."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interest.events import EVENT_CODES, Event, EventType, InterestEdit, Record
from interest.fold import FoldEvent, fold
from interest.profile import empty_profile
from tests.contracts.store_cases import (
    IMPLEMENTATIONS,
    JAZZ,
    NOON,
    TEA,
    OpenStore,
    assert_same,
    item,
    keys_of,
)

pytestmark = pytest.mark.thorough

TIMES = st.sampled_from([NOON, NOON + 1, NOON + 86_400, NOON - 30 * 86_400])
EVENTS = st.builds(
    Event,
    event_id=st.sampled_from([f"e{number}" for number in range(12)]),
    type=st.sampled_from([EventType.VIEW, EventType.PURCHASE, EventType.COMMENT]),
    user_id=st.just("u1"),
    item_id=st.sampled_from(["i1", "i2", "i3"]),
    timestamp=TIMES,
    value=st.none() | st.floats(0, 10),
    text=st.sampled_from(["", "blue cups"]),
)
EDITS = st.builds(
    InterestEdit,
    record_id=st.sampled_from([f"r{number}" for number in range(5)]),
    user_id=st.just("u1"),
    timestamp=TIMES,
    facets=st.lists(st.tuples(st.sampled_from([TEA, JAZZ]), st.sampled_from([None, 0.2, 0.9])), max_size=2).map(tuple),
    replace=st.booleans(),
)


def record_id(record: Record) -> tuple[bool, str]:
    return (True, record.event_id) if isinstance(record, Event) else (False, record.record_id)


LOGS = st.lists(EVENTS | EDITS, max_size=14, unique_by=record_id)


@pytest.mark.parametrize("open_store", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS.keys())
@given(log=LOGS, data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_split_and_repetition_gives_the_profile_of_the_sorted_log(
    open_store: OpenStore, tmp_path_factory: pytest.TempPathFactory, log: list[Record], data: st.DataObject
) -> None:
    writer, reader = open_store(tmp_path_factory.mktemp("store"))
    try:
        repeated = data.draw(st.lists(st.sampled_from(log), max_size=6)) if log else []
        rest: list[Record] = list(data.draw(st.permutations([*log, *repeated])))
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            writer.append(rest[:size])
            rest = rest[size:]
        writer.put_items([item(item_id) for item_id in ("i1", "i2", "i3")], None, "")
        keys = keys_of(reader)
        ordered = sorted(log, key=lambda record: record.timestamp)
        expected = fold(empty_profile("u1"), [fold_record(record, keys) for record in ordered])
        assert_same(reader.profiles(["u1"])[0], expected)
        assert_same(reader.profiles(["u1"], as_of=NOON + 1e9)[0], expected)
        early = [fold_record(record, keys) for record in ordered if record.timestamp <= NOON]
        assert_same(reader.profiles(["u1"], as_of=NOON)[0], fold(empty_profile("u1"), early))
    finally:
        reader.close()
        writer.close()


def fold_record(record: Record, keys: dict[str, int]) -> FoldEvent | InterestEdit:
    if isinstance(record, InterestEdit):
        return record
    return FoldEvent(keys[record.item_id], EVENT_CODES[record.type], record.timestamp, record.value, record.text)

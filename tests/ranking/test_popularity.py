"""Popularity as of any instant, against counting event by event."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interest.batch import Floats
from interest.catalogue import Catalogue, CatalogueView
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.items import Item
from interest.store.protocol import EventColumns, ItemChange
from ranking import popularity as module
from ranking.popularity import ALL_TIME, DAY_S, TENTHS, WEIGHT_BY_CODE, WINDOWS_S, Popularity


def view_of(keys: list[int]) -> CatalogueView:
    catalogue = Catalogue()
    items = [Item(item_id=str(key), title="") for key in keys]
    catalogue.apply([ItemChange(1, key, item.item_id, item, None, "") for key, item in zip(keys, items, strict=True)])
    return catalogue.view()


def columns(items: list[int], types: list[EventType], times: list[float]) -> EventColumns:
    count = len(items)
    return EventColumns(
        np.arange(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.array(items, dtype=np.int64),
        np.array([EVENT_CODES[event_type] for event_type in types], dtype=np.int8),
        np.array(times, dtype=np.float64),
        np.full(count, np.nan),
    )


def slow_counts(events: EventColumns, now: float, view: CatalogueView) -> Floats:
    counts = np.zeros((len(view), len(WINDOWS_S)))
    for item, code, time in zip(events.item_key, events.event_type, events.timestamp, strict=True):
        for column, window_s in enumerate(WINDOWS_S):
            if item in view.keys and now - window_s < time <= now:
                counts[view.rows(np.array([item]))[0], column] += WEIGHT_BY_CODE[code]
    return (counts / TENTHS).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    data=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(EVENT_TYPES), st.integers(0, 120).map(lambda day: day * DAY_S)),
        max_size=60,
    ),
    cut=st.integers(0, 60),
    now=st.integers(0, 130).map(lambda day: day * DAY_S),
)
def test_counts_equal_counting_one_by_one_whatever_order_and_batches_the_events_came_in(
    data: list[tuple[int, EventType, float]], cut: int, now: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TAIL_ROWS", 7)
        patch.setattr(module, "SNAPSHOT_ROWS", 5)
        view = view_of([4, 2, 6, 0, 9])
        counted = Popularity()
        for part in (data[:cut], data[cut:]):
            counted.append(columns(*([row[index] for row in part] for index in range(3))))  # type: ignore[arg-type]
        whole = columns(*([row[index] for row in data] for index in range(3)))  # type: ignore[arg-type]
        np.testing.assert_array_equal(counted.counts(now, view), slow_counts(whole, now, view))


def test_events_after_now_do_not_count_and_one_at_now_does() -> None:
    counted = Popularity()
    counted.append(columns([1, 1], [EventType.PURCHASE] * 2, [100.0, 101.0]))
    assert counted.counts(100.0, view_of([1]))[0].tolist() == [1.0] * len(WINDOWS_S)


def test_impressions_and_negative_events_weigh_nothing() -> None:
    counted = Popularity()
    nothing = [EventType.IMPRESSION, EventType.SKIP, EventType.HIDE, EventType.DISLIKE]
    counted.append(columns([1] * 4, nothing, [1.0] * 4))
    assert not counted.counts(10.0, view_of([1])).any()
    assert np.isnan(counted.first_at(np.array([1]))).all()


def test_a_late_event_is_seen_although_the_instant_was_asked_for_before() -> None:
    counted, view = Popularity(), view_of([1])
    counted.append(columns([1], [EventType.LIKE], [50.0]))
    assert counted.counts(100.0, view)[0, 0] == 1
    counted.append(columns([1], [EventType.LIKE], [60.0]))
    assert counted.counts(100.0, view)[0, 0] == 2


def test_an_event_later_than_every_instant_asked_for_keeps_the_results_made() -> None:
    counted, view = Popularity(), view_of([1])
    counted.append(columns([1], [EventType.LIKE], [50.0]))
    before = counted.counts(100.0, view)
    counted.append(columns([1], [EventType.LIKE], [160.0]))
    assert counted.counts(100.0, view) is before
    assert counted.counts(200.0, view)[0, 0] == 2


def test_order_is_by_count_then_by_lower_item_key_and_leaves_out_zeros() -> None:
    counted, view = Popularity(), view_of([5, 3, 8, 2])
    counted.append(columns([5, 3, 8, 8], [EventType.LIKE] * 4, [1.0, 2.0, 3.0, 4.0]))
    assert view.keys[counted.order(10.0, view, ALL_TIME)].tolist() == [8, 3, 5]


def test_first_at_is_the_earliest_event_whatever_the_order() -> None:
    counted = Popularity()
    counted.append(columns([1, 1], [EventType.VIEW] * 2, [30.0, 20.0]))
    counted.append(columns([1], [EventType.VIEW], [25.0]))
    np.testing.assert_array_equal(counted.first_at(np.array([1, 2, 40, 1])), [20.0, np.nan, np.nan, 20.0])


def test_counts_cannot_be_written_by_those_who_share_them() -> None:
    counts = Popularity().counts(1.0, view_of([1]))
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


def test_one_apart_counts_the_same_events_and_those_that_come_later_stay_with_the_first() -> None:
    view = view_of([0, 1])
    popularity = Popularity()
    popularity.append(columns([0], [EventType.PURCHASE], [50.0]))
    other = popularity.apart()
    popularity.append(columns([1], [EventType.PURCHASE], [60.0]))
    assert other.counts(100.0, view)[:, ALL_TIME].tolist() == [1.0, 0.0]
    assert popularity.counts(100.0, view)[:, ALL_TIME].tolist() == [1.0, 1.0]

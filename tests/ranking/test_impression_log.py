"""The impression log: which acts count for which impression, and what a target would have shown at each place."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.events import Event, EventType
from interest.store.protocol import Impression
from ranking.impression_log import _choices, lists_of, logged_places, rewards

AT = 1_000_000.0


def shown(recommendation_id: str, position: int, item_id: str, propensity: float = 1.0, at: float = AT) -> Impression:
    return Impression(
        recommendation_id=recommendation_id, user_id="u", item_id=item_id, position=position, timestamp=at,
        requested_at=at, score=0.0, propensity=propensity, release="1",
    )  # fmt: skip


def click(item_id: str, **changes: Any) -> Event:
    told = {"event_id": "e", "type": EventType.CLICK, "user_id": "u", "timestamp": AT + 5}
    return Event(**{**told, "item_id": item_id, **changes})


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (click("a", recommendation_id="r1"), [1, 0]),  # names its list: nothing for the other
        (click("a", recommendation_id="r1", timestamp=AT - 999), [1, 0]),  # by whatever clock
        (click("a", recommendation_id="r9"), [0, 0]),
        (click("a", recommendation_id="r1", user_id="v"), [0, 0]),
        (click("a"), [1, 1]),
        (click("a", user_id="v"), [0, 0]),
        (click("b"), [0, 0]),
        (click("a", timestamp=AT - 1), [0, 0]),  # before either was shown
        (click("a", timestamp=AT + 1), [1, 0]),  # before the second was shown
        (click("a", timestamp=AT + 101), [0, 1]),  # the first was shown too long ago
    ],
)
def test_an_act_counts_for_the_impressions_it_can_come_from(event: Event, expected: list[int]) -> None:
    impressions = [shown("r1", 1, "a"), shown("r2", 1, "a", at=AT + 2)]
    assert_array_equal(rewards(impressions, [event], horizon_s=100.0), expected)


def test_lists_come_by_position_and_apart_even_within_an_instant() -> None:
    mixed = [shown("r2", 2, "d"), shown("r1", 1, "a"), shown("r2", 1, "c"), shown("r1", 2, "b")]
    assert [[one.item_id for one in part] for part in lists_of(mixed)] == [["a", "b"], ["c", "d"]]


def test_pages_of_one_list_belong_together_whenever_they_were_shown() -> None:
    pages = [shown("r1", 1, "a"), shown("r2", 1, "c", at=AT + 1), shown("r1", 2, "b", at=AT + 2)]
    assert [[one.item_id for one in part] for part in lists_of(pages)] == [["a", "b"], ["c"]]


def test_a_list_ends_where_the_log_does_not_know_what_stood_above() -> None:
    skipped = [shown("r1", 1, "a"), shown("r1", 3, "c"), shown("r1", 4, "d")]
    headless = [shown("r2", 2, "f"), shown("r2", 3, "g")]
    assert [[one.item_id for one in part] for part in lists_of([*headless, *skipped])] == [["a"]]


def test_the_target_takes_its_best_item_that_is_not_above() -> None:
    assert _choices(["a", "b", "c"], ["b", "x", "a", "c"]) == ["a", "a", "a", "c"]
    assert _choices(["a"], ["a", "x"]) == ["a", ""]


def test_only_places_open_to_chance_are_kept_and_their_targets_fit() -> None:
    lists = [
        [shown("r1", 1, "a"), shown("r1", 2, "c", 0.1), shown("r1", 3, "b", 0.9)],
        [shown("r2", 1, "a"), shown("r2", 2, "b", 0.9)],
    ]
    choices = [["a", "b", "b"], ["b", "z"]]
    log = logged_places(lists, choices, np.array([1.0, 0.0, 1.0, 0.0, 0.0]))
    assert_allclose(log.propensity, [0.1, 0.9, 0.9])
    assert_array_equal(log.target, [0, 1, 0])
    assert_array_equal(log.reward, [0, 1, 0])
    assert_array_equal(log.cluster, [0, 0, 1])
    assert log.predicted[1] == log.predicted_target[1]  # the target shows what was shown
    assert ((log.predicted_target >= 0) & (log.predicted_target <= 1)).all()

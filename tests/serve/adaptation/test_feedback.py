"""Which acts say that a text was liked or refused, and which say nothing."""

from typing import Any

import pytest

from interest.events import Event, EventType
from interest.store.protocol import Impression
from serve.adaptation.feedback import Verdict, verdicts

NOON, DAY = 1_400_000_000.0, 86_400.0
LIKED, REFUSED, SILENT = Verdict.LIKED, Verdict.REFUSED, Verdict.SILENT


def shown(position: int, **changes: Any) -> Impression:
    told: dict[str, Any] = {"recommendation_id": "rec_1", "user_id": "u", "item_id": f"i{position}", "release": "1"}
    numbers = {"timestamp": NOON, "requested_at": NOON, "score": 1.0, "propensity": 1.0}
    return Impression(**{**told, **numbers, "position": position, **changes})


def act(kind: EventType, item: int, after_s: float = 60.0, **changes: Any) -> Event:
    told: dict[str, Any] = {"event_id": f"{kind}-{item}-{after_s}", "user_id": "u", "item_id": f"i{item}"}
    return Event(**{**told, "type": kind, "timestamp": NOON + after_s, **changes})


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([], [SILENT, SILENT, SILENT]),
        ([act(EventType.CLICK, 1)], [LIKED, SILENT, SILENT]),
        ([act(EventType.PURCHASE, 2)], [REFUSED, LIKED, SILENT]),
        ([act(EventType.HIDE, 3)], [SILENT, SILENT, REFUSED]),
        ([act(EventType.LIKE, 2), act(EventType.HIDE, 2)], [REFUSED, SILENT, SILENT]),
        ([act(EventType.CLICK, 1), act(EventType.FAVORITE, 3)], [LIKED, REFUSED, LIKED]),
        ([act(EventType.CLICK, 1, after_s=8 * DAY)], [SILENT, SILENT, SILENT]),
        ([act(EventType.CLICK, 1, after_s=8 * DAY, recommendation_id="rec_1")], [LIKED, SILENT, SILENT]),
        ([act(EventType.CLICK, 1, recommendation_id="rec_2")], [SILENT, SILENT, SILENT]),
        ([act(EventType.CLICK, 1, user_id="other")], [SILENT, SILENT, SILENT]),
        ([act(EventType.VIEW, 1)], [SILENT, SILENT, SILENT]),
    ],
)
def test_acts_and_what_was_passed_over_on_the_way_to_them_decide(acts: list[Event], expected: list[Verdict]) -> None:
    assert verdicts([shown(1), shown(2), shown(3)], acts) == expected


def test_what_is_liked_in_one_list_says_nothing_about_another() -> None:
    below = act(EventType.CLICK, 3, recommendation_id="rec_2")
    assert verdicts([shown(1), shown(3, recommendation_id="rec_2")], [below]) == [SILENT, LIKED]

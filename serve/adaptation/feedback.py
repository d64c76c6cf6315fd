"""What users thought of the texts they were shown, as far as their acts tell."""

from collections.abc import Sequence
from enum import Enum

import numpy as np

from interest.events import Event, EventType
from interest.store.protocol import Impression
from ranking.impression_log import HORIZON_S, REWARDED, rewards

POSITIVE = REWARDED  # click, like, favorite, share, cart, purchase
NEGATIVE = (EventType.DISLIKE, EventType.SKIP, EventType.HIDE)


class Verdict(Enum):
    """Of one user on one text they were shown."""

    LIKED = "liked"
    REFUSED = "refused"
    SILENT = "silent"


def verdicts(shown: Sequence[Impression], events: Sequence[Event], horizon_s: float = HORIZON_S) -> list[Verdict]:
    """One verdict an impression; `events` of the types in `POSITIVE` and `NEGATIVE`, `shown` with all places of a list.

    Liked: a positive act and no negative one. Refused: a negative act and no positive one; or no act at all on an item
    that stands above one with a positive act in the same list, which its reader has seen and passed over (Joachims
    2002, "Optimizing search engines using clickthrough data", section 2.2: click > skip above). All else is silence:
    what nobody scrolled to is no refusal, and who both likes and hides says nothing of the words. Acts count when they
    name the recommendation, or come within `horizon_s` of the impression of that item.
    """
    liked = rewards(shown, [event for event in events if event.type in POSITIVE], horizon_s) > 0
    refused = rewards(shown, [event for event in events if event.type in NEGATIVE], horizon_s) > 0
    lowest: dict[str, int] = {}  # the last place of each list that was liked
    for place in np.flatnonzero(liked):
        one = shown[place]
        lowest[one.recommendation_id] = max(one.position, lowest.get(one.recommendation_id, 0))
    return [
        _verdict(acted, hidden, one.position < lowest.get(one.recommendation_id, 0))
        for one, acted, hidden in zip(shown, liked.tolist(), refused.tolist(), strict=True)
    ]


def _verdict(liked: bool, refused: bool, passed_over: bool) -> Verdict:
    if liked == refused:
        return Verdict.REFUSED if passed_over and not liked else Verdict.SILENT
    return Verdict.LIKED if liked else Verdict.REFUSED

"""The impression log for off-policy estimates: what came of each place, and what a release would have shown there."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from interest.batch import Doubles
from interest.events import Event, EventType
from interest.model import DAY_S
from interest.store.protocol import Impression, StoreReader
from ranking.off_policy import LoggedPlaces, reward_model
from ranking.offline import USERS_AT_ONCE, OfflineStages

REWARDED = (EventType.CLICK, EventType.LIKE, EventType.FAVORITE, EventType.SHARE, EventType.CART, EventType.PURCHASE)
HORIZON_S = 7 * DAY_S  # how long after it was shown an act that names no recommendation still counts for it


def rewards(impressions: Sequence[Impression], events: Sequence[Event], horizon_s: float = HORIZON_S) -> Doubles:
    """1 for each impression that its user acted upon, otherwise 0; float64 [n].

    An event that names its recommendation counts for that one alone, whenever it came; another one for every impression
    of its item to its user at most `horizon_s` before it. `events`: of the types in `REWARDED`.
    """
    named = {(event.recommendation_id, event.user_id, event.item_id) for event in events if event.recommendation_id}
    loose: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if not event.recommendation_id:
            loose.setdefault((event.user_id, event.item_id), []).append(event.timestamp)

    def acted(shown: Impression) -> bool:
        times = loose.get((shown.user_id, shown.item_id), ())
        return (shown.recommendation_id, shown.user_id, shown.item_id) in named or any(
            0 <= time - shown.timestamp <= horizon_s for time in times
        )

    return np.array([acted(shown) for shown in impressions], dtype=np.float64)


def lists_of(impressions: Sequence[Impression]) -> list[list[Impression]]:
    """One list a recommendation with all its pages, by position; the lists by the time of their first place.

    A list ends before the first place that the log lacks (a page that was skipped, or is older than `impressions`): a
    propensity is given the items above, and from there on they are not known.
    """
    ordered = sorted(impressions, key=lambda shown: (shown.recommendation_id, shown.position))
    lists = [
        [shown for place, shown in enumerate(part, start=1) if shown.position == place]
        for _, part in groupby(ordered, key=lambda shown: shown.recommendation_id)
    ]
    return sorted(filter(None, lists), key=lambda shown: (shown[0].timestamp, shown[0].recommendation_id))


def greedy_choices(
    lists: Sequence[Sequence[Impression]],
    reader: StoreReader,
    stages: OfflineStages,
    exclude_seen: bool,
    quantum_s: float,
) -> list[list[str]]:
    """What the release behind `stages` would have shown at each place below what was logged above it, "" for nothing.

    The user's profile is that of the instant, `now` is rounded down to `quantum_s` as in serving. What the log does not
    hold of a request (filter, exclusions, domain, boosters, diversity) is taken as not asked for.
    """
    view = stages.catalogue.view()
    choices = []
    for start in range(0, len(lists), USERS_AT_ONCE):
        part = lists[start : start + USERS_AT_ONCE]
        at = np.array([shown[0].timestamp for shown in part])
        profiles = reader.profiles_as_of([shown[0].user_id for shown in part], at.tolist())
        count = max(len(shown) for shown in part)  # so many items hold one that is not above, whatever was shown
        ranked = stages.recommend(profiles, np.floor(at / quantum_s) * quantum_s, count, exclude_seen)
        rows = view.rows(ranked.ranked_item)
        for user, shown in enumerate(part):
            own = rows[ranked.ranked_offsets[user] : ranked.ranked_offsets[user + 1]]
            choices.append(_choices([view.ids[row] for row in own], [impression.item_id for impression in shown]))
    return choices


def logged_places(
    lists: Sequence[Sequence[Impression]], choices: Sequence[Sequence[str]], reward: Doubles
) -> LoggedPlaces:
    """The places that chance could fill, with the greedy choices as the target; `reward` in the order of `lists`.

    Places with a propensity of 1 are left out: nothing else was ever shown there, so they tell nothing of others.
    The rewards a place or an item lets expect are fitted to the other half of the lists.
    """
    cluster = np.repeat(np.arange(len(lists)), [len(shown) for shown in lists])
    flat = [shown for one in lists for shown in one]
    propensity = np.array([shown.propensity for shown in flat])
    kept = propensity < 1.0
    numbers = {item_id: number for number, item_id in enumerate(sorted({shown.item_id for shown in flat}))}
    item = np.array([numbers[shown.item_id] for shown in flat], dtype=np.int64)
    wanted = np.array([numbers.get(item_id, -1) for one in choices for item_id in one], dtype=np.int64)
    position = np.array([shown.position for shown in flat], dtype=np.int64)
    fold = cluster % 2
    model = reward_model(item, position, reward, fold)
    return LoggedPlaces(
        reward=reward[kept],
        propensity=propensity[kept],
        target=(item == wanted).astype(np.float64)[kept],
        predicted=model.predict(item, position, fold)[kept],
        predicted_target=model.predict(wanted, position, fold)[kept],
        cluster=cluster[kept],
    )


def _choices(ranked: Sequence[str], shown: Sequence[str]) -> list[str]:
    above: set[str] = set()
    found = []
    for item_id in shown:
        found.append(next((candidate for candidate in ranked if candidate not in above), ""))
        above.add(item_id)
    return found

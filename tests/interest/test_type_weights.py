"""Learned weights of event types: what tells the next acts weighs more than what does not, whatever it started from."""

from dataclasses import replace

import numpy as np
import pytest

from interest.batch import Longs
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.fitting import InterestSettings, fit_interest_model
from interest.model import DAY_S, TYPE_WEIGHTS, InterestModel
from interest.store.protocol import EventColumns
from interest.type_weights import _logistic

NOW = 1_700_000_000.0
ITEMS, USERS, DAYS = 60, 150, 90


def log(rng: np.random.Generator, telling: EventType, random: EventType, refused: EventType | None) -> EventColumns:
    """Each user likes one third of the items: `telling` and purchases are of it, `random` are of any item.

    `refused` are of the other thirds.
    """
    rows: list[tuple[int, int, int, float]] = []
    for user in range(USERS):
        own = user % 3
        for event_type, number in ((telling, 6), (random, 6), (EventType.PURCHASE, 6), (refused, 6)):
            if event_type is None:
                continue
            taste = {random: rng.integers(0, 3, number), refused: own + rng.integers(1, 3, number)}
            third = taste.get(event_type, np.full(number, own)) % 3
            items = third * (ITEMS // 3) + rng.integers(0, ITEMS // 3, number)
            times = NOW - rng.uniform(0, DAYS * DAY_S, number)
            rows += [(user, int(i), EVENT_CODES[event_type], float(t)) for i, t in zip(items, times, strict=True)]
    users, keys, codes, stamps = (np.array(column) for column in zip(*rows, strict=True))
    return EventColumns(np.arange(len(rows)), users, keys, codes.astype(np.int8), stamps, np.full(len(rows), np.nan))


def fit(events: EventColumns) -> InterestModel:
    keys: Longs = np.arange(ITEMS)
    settings = InterestSettings(rank=16, l2=5.0, together_l2=20.0)
    return fit_interest_model(events, keys, [f"i{key}" for key in keys], NOW, settings, np.random.default_rng(0))


def weights_of(model: InterestModel) -> dict[EventType, float]:
    return dict(zip(EVENT_TYPES, model.weights.type_weights, strict=True))


@pytest.mark.parametrize(("telling", "random"), [(EventType.VIEW, EventType.LIKE), (EventType.LIKE, EventType.VIEW)])
def test_a_type_that_tells_the_next_acts_outweighs_one_that_does_not(telling: EventType, random: EventType) -> None:
    found = weights_of(fit(log(np.random.default_rng(1), telling, random, None)))
    started = TYPE_WEIGHTS[telling] / TYPE_WEIGHTS[random]
    assert found[telling] / max(found[random], 1e-9) > 2 * started
    assert max(found.values()) == pytest.approx(1.0)


def test_what_is_refused_stays_negative_and_types_without_events_keep_their_place() -> None:
    found = weights_of(fit(log(np.random.default_rng(2), EventType.CLICK, EventType.VIEW, EventType.DISLIKE)))
    assert found[EventType.DISLIKE] < 0
    assert found[EventType.SHARE] / found[EventType.FAVORITE] == pytest.approx(0.8)
    assert found[EventType.IMPRESSION] == 0.0


def test_a_log_of_one_type_has_nothing_to_learn() -> None:
    events = log(np.random.default_rng(3), EventType.PURCHASE, EventType.PURCHASE, None)
    assert weights_of(fit(events)) == pytest.approx(TYPE_WEIGHTS)


def test_a_type_with_enough_events_in_all_but_too_few_on_the_users_learned_from_has_nothing_to_learn() -> None:
    events = log(np.random.default_rng(3), EventType.PURCHASE, EventType.PURCHASE, None)
    viewed = replace(events, event_type=np.full(len(events.seq), EVENT_CODES[EventType.VIEW], dtype=np.int8))
    kept = (events.user_key % 2 == 0) | (np.arange(len(events.seq)) % 20 == 0)  # weights are learned on odd users
    names = ("seq", "user_key", "item_key", "event_type", "timestamp", "value")
    views = [getattr(viewed, name)[kept] for name in names]
    parts = [np.concatenate([getattr(events, name), column]) for name, column in zip(names, views, strict=True)]
    assert weights_of(fit(EventColumns(*parts))) == pytest.approx(TYPE_WEIGHTS)
    assert kept.sum() >= 200


def test_the_logistic_fit_is_where_its_slope_is_zero() -> None:
    rng = np.random.default_rng(4)
    features, start = rng.normal(size=(500, 3)) + np.array([0.5, 0.0, -0.2]), np.array([0.3, 0.1, 0.0])
    ridge = np.array([7.0, 1.0, 20.0])
    found = _logistic(features, start, ridge)
    chance = 1 / (1 + np.exp(features @ found))
    np.testing.assert_allclose(features.T @ chance, ridge * (found - start), atol=1e-8)
    assert found[0] > start[0]

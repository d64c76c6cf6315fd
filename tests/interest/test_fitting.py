"""Fitting: the next head against the closed form on its pairs, the together head against EASE as printed."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Doubles, Floats, Longs
from interest.events import EVENT_CODES, EventType
from interest.fitting import InterestSettings, fit_interest_model, item_statistics
from interest.model import DAY_S, STATISTICS, BehaviourWeights, InterestModel
from interest.next_acts import Cuts, History, act_pairs
from interest.store.protocol import EventColumns

NOW = 1_700_000_000.0
SETTINGS = InterestSettings(rank=64, l2=5.0, together_l2=5.0)
WEIGHTS = BehaviourWeights(SETTINGS.user_half_life_s)


def columns(
    user: Longs,
    item: Longs,
    event_type: EventType = EventType.PURCHASE,
    age_s: float | Doubles = 0.0,
    value: float = np.nan,
) -> EventColumns:
    n = len(user)
    code = np.full(n, EVENT_CODES[event_type], dtype=np.int8)
    return EventColumns(np.arange(n), user, item, code, np.full(n, NOW) - age_s, np.full(n, value))


def joined(*parts: EventColumns) -> EventColumns:
    names = ("seq", "user_key", "item_key", "event_type", "timestamp", "value")
    return EventColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def two_worlds(rng: np.random.Generator) -> EventColumns:
    """60 users: even ones buy from items 0..9, odd ones from 10..19, within 60 days."""
    user = np.repeat(np.arange(60), 6)
    item = rng.integers(0, 10, len(user)) + 10 * (user % 2)
    return columns(user, item, age_s=rng.uniform(0, 60 * DAY_S, len(user)))


def fit(events: EventColumns, items: int = 20, settings: InterestSettings = SETTINGS) -> InterestModel:
    ids = [f"i{key}" for key in range(items)]
    return fit_interest_model(events, np.arange(items), ids, NOW, settings, np.random.default_rng(1))


def product(model: InterestModel, head: int) -> Floats:
    """The item-item weights that one head stands for."""
    width = model.dims // model.heads
    part = slice(head * width, (head + 1) * width)
    found: Floats = model.input_vectors[:, part] @ model.output_vectors[:, part].T
    return found


def ease_by_steck(matrix: Doubles, l2: float) -> Doubles:
    """Steck (2019), algorithm 1, as printed."""
    gram = matrix.T @ matrix
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights: Doubles = inverse / (-np.diag(inverse))
    weights[np.diag_indices_from(weights)] = 0
    return weights


def test_at_full_rank_the_together_head_is_ease_as_printed() -> None:
    events = two_worlds(np.random.default_rng(0))
    matrix = np.zeros((60, 20))
    decay = np.exp2((events.timestamp - NOW) / SETTINGS.together_half_life_s)
    np.maximum.at(matrix, (events.user_key, events.item_key), decay)
    model = fit(events)
    assert (model.heads, model.dims) == (2, 40)
    assert_allclose(product(model, 1), ease_by_steck(matrix, 5.0), atol=1e-5)


def test_at_full_rank_the_next_head_is_the_ridge_regression_of_later_on_earlier_acts() -> None:
    events = two_worlds(np.random.default_rng(0))
    history = History.of(events, events.item_key, 20, NOW)
    pairs = act_pairs(
        history,
        WEIGHTS,
        NOW,
        SETTINGS.cuts(SETTINGS.fit_half_life_s),
        np.random.default_rng(0),
    )
    x, y = pairs.before.toarray().astype(np.float64), pairs.after.toarray().astype(np.float64)
    expected = np.linalg.solve(x.T @ x + 5.0 * np.eye(20), x.T @ y)
    assert_allclose(product(fit(events), 0), expected, atol=1e-5)


def test_a_user_of_one_world_scores_that_world_higher_from_the_first_event() -> None:
    model = fit(two_worlds(np.random.default_rng(0)), settings=InterestSettings(rank=4, l2=5.0, together_l2=5.0))
    assert model.dims == 8
    user = model.user_vectors(np.array([0, 1]), np.array([3]), np.array([1.0]))[0]
    for head in (slice(0, 4), slice(4, 8)):
        scores = model.output_vectors[:, head] @ user[head]
        assert scores[:10].mean() > scores[10:].mean() + 0.02


def cuts(step_s: float, horizon_s: float, half_life_s: float, max_rows: int) -> Cuts:
    return Cuts(step_s=step_s, horizon_s=horizon_s, half_life_s=half_life_s, max_rows=max_rows)


def slow_pairs(events: EventColumns, cut: float, end: float) -> tuple[Doubles, Doubles]:
    """Users with a purchase before `cut` and a first purchase of something in [cut, end], by user."""
    before, after = [], []
    for user in np.unique(events.user_key).tolist():
        mine = events.user_key == user
        row, later = np.zeros(20), np.zeros(20)
        old = mine & (events.timestamp < cut)
        for item in np.unique(events.item_key[old]).tolist():
            times = events.timestamp[old & (events.item_key == item)]
            decay = 2 ** (-(cut - times.max()) / SETTINGS.user_half_life_s)
            row[item] = decay * (1 + np.log(len(times)) / 4)
        new = mine & (events.timestamp >= cut) & (events.timestamp <= end)
        later[events.item_key[new]] = 1.0
        later[row > 0] = 0.0
        if row.any() and later.any():
            before.append(row / np.sqrt((row * row).sum()))
            after.append(later)
    return np.array(before).reshape(-1, 20), np.array(after).reshape(-1, 20)


def test_pairs_agree_with_a_loop_over_cuts_and_users() -> None:
    events = two_worlds(np.random.default_rng(3))
    history = History.of(events, events.item_key, 20, NOW)
    step, horizon, half_life = 10 * DAY_S, 15 * DAY_S, 30 * DAY_S
    found = act_pairs(history, WEIGHTS, NOW, cuts(step, horizon, half_life, 10**6), np.random.default_rng(0))
    oldest = events.timestamp.min()
    step = min(step, (NOW - oldest) / 20)  # a short log is cut into smaller steps
    before, after = [np.zeros((0, 20))], [np.zeros((0, 20))]
    for cut in np.arange(NOW - step, oldest, -step):
        weight = np.sqrt(2 ** (-(NOW - cut) / half_life))
        x, y = slow_pairs(events, cut, min(cut + horizon, NOW))
        before.append(weight * x)
        after.append(weight * y)
    assert len(np.concatenate(before)) > 200
    assert_allclose(found.before.toarray(), np.concatenate(before), atol=1e-5)
    assert_allclose(found.after.toarray(), np.concatenate(after), atol=1e-5)


def test_of_too_many_rows_some_are_kept_by_chance() -> None:
    events = two_worlds(np.random.default_rng(3))
    history = History.of(events, events.item_key, 20, NOW)
    found = act_pairs(history, WEIGHTS, NOW, cuts(DAY_S, DAY_S, 60 * DAY_S, 30), np.random.default_rng(0))
    assert found.before.shape == found.after.shape == (30, 20)


def test_glances_are_history_but_nothing_to_predict() -> None:
    user, old, new = np.zeros(1, dtype=np.int64), np.array([0]), np.array([1])
    viewed = joined(columns(user, old, age_s=20 * DAY_S), columns(user, new, EventType.VIEW, age_s=1 * DAY_S))
    history = History.of(viewed, viewed.item_key, 2, NOW)
    pairs = act_pairs(history, WEIGHTS, NOW, cuts(DAY_S, 5 * DAY_S, 60 * DAY_S, 100), np.random.default_rng(0))
    assert pairs.after.nnz == 0


def test_negative_events_and_unknown_items_do_not_enter_the_together_head() -> None:
    one, other = np.array([0]), np.array([1])
    plain = joined(columns(one, one), columns(one, other), columns(other, one), columns(other, other))
    extra = (
        columns(one, one, EventType.VIEW),
        columns(one, one, EventType.PURCHASE, age_s=200 * DAY_S),
        columns(other, np.array([2]), EventType.DISLIKE),
        columns(other, np.array([2]), EventType.IMPRESSION),
        columns(one, np.array([99])),
    )
    expected, found = fit(plain, items=3), fit(joined(plain, *extra), items=3)
    assert found.item_ids == expected.item_ids == ("i0", "i1")
    assert_array_equal(product(found, 1), product(expected, 1))


def test_events_after_now_are_not_fitted() -> None:
    events = two_worlds(np.random.default_rng(0))
    late = columns(np.array([0]), np.array([15]), age_s=-1.0)
    assert_array_equal(fit(joined(events, late)).input_vectors, fit(events).input_vectors)


def test_ratings_after_now_do_not_say_what_a_high_rating_is() -> None:
    one = np.array([0])
    early = [columns(one, one, EventType.RATING, value=value) for value in (1.0, 5.0)]
    late = columns(one, one, EventType.RATING, age_s=-1.0, value=100.0)
    assert fit(joined(*early, late)).weights == fit(joined(*early)).weights
    assert fit(joined(*early, columns(one, one, EventType.RATING, value=100.0))).weights.rating_high > 5.0


def test_an_old_event_weighs_half_after_a_half_life() -> None:
    settings = InterestSettings(rank=2, together_l2=1.0)
    pair = columns(np.array([0, 0]), np.array([0, 1]), age_s=settings.together_half_life_s)
    assert_allclose(product(fit(pair, 2, settings), 1), ease_by_steck(np.array([[0.5, 0.5]]), 1.0), atol=1e-6)


def test_beyond_the_limit_only_the_items_with_most_users_are_modelled() -> None:
    user = np.array([0, 1, 2, 0, 1, 0, 2])
    item = np.array([5, 5, 5, 2, 2, 7, 9])
    model = fit(columns(user, item), items=10, settings=InterestSettings(max_items=3))
    assert model.item_ids == ("i2", "i5", "i7")  # i7 and i9 have as many users: the lower key


def test_a_log_without_events_gives_a_model_without_items() -> None:
    model = fit(columns(np.array([], dtype=np.int64), np.array([], dtype=np.int64)))
    assert model.item_ids == ()
    assert_array_equal(model.user_vectors(np.array([0, 1]), np.array([-1]), np.array([1.0])), np.zeros((1, 2)))
    nothing = np.array([], dtype=np.int64)
    events = columns(np.array([0]), np.array([0]))
    assert fit_interest_model(events, nothing, [], NOW, SETTINGS, np.random.default_rng(0)).item_ids == ()


def test_statistics_count_users_repeats_gaps_and_values() -> None:
    user, item = np.array([0, 0, 1, 0]), np.array([0, 0, 0, 1])
    events = columns(user, item, age_s=np.array([9.0, 2.0, 5.0, 1.0]) * DAY_S, value=3.0)
    viewed = columns(np.array([2]), np.array([0]), EventType.VIEW)
    both = joined(events, viewed)
    found = dict(zip(STATISTICS, item_statistics(History.of(both, both.item_key, 2, NOW)).T, strict=True))
    assert_allclose(found["users"], np.log1p([2, 1]))
    assert_allclose(found["acts_per_user"], [1.5, 1.0])
    assert_allclose(found["repeat_share"], [2 / 12, 1 / 11])
    assert_allclose(found["repeat_gap"], [np.log1p(7.0), np.nan], rtol=1e-6)
    assert_allclose(found["value"], np.log1p([3.0, 3.0]))

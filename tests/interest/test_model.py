"""InterestModel: EASE, its factors, user vectors that do not depend on the batch, a safe file."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Doubles, Floats, Longs, ragged_offsets
from interest.errors import InvalidRelease
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.model import DAY_S, TYPE_WEIGHTS, BehaviourWeights, InterestModel, InterestSettings, fit_interest_model
from interest.store.protocol import EventColumns

NOW = 1_700_000_000.0
SETTINGS = InterestSettings(rank=64, l2=5.0)


def columns(
    user: Longs, item: Longs, event_type: EventType = EventType.PURCHASE, age_s: float = 0.0, value: float = np.nan
) -> EventColumns:
    n = len(user)
    code = np.full(n, EVENT_CODES[event_type], dtype=np.int8)
    return EventColumns(np.arange(n), user, item, code, np.full(n, NOW - age_s), np.full(n, value))


def joined(*parts: EventColumns) -> EventColumns:
    names = ("seq", "user_key", "item_key", "event_type", "timestamp", "value")
    return EventColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def two_worlds(rng: np.random.Generator) -> EventColumns:
    """60 users: even ones buy from items 0..9, odd ones from 10..19."""
    user = np.repeat(np.arange(60), 6)
    item = rng.integers(0, 10, len(user)) + 10 * (user % 2)
    return columns(user, item)


def fit(events: EventColumns, items: int = 20, settings: InterestSettings = SETTINGS) -> InterestModel:
    ids = [f"i{key}" for key in range(items)]
    return fit_interest_model(events, np.arange(items), ids, NOW, settings, np.random.default_rng(1))


def ease_by_steck(matrix: Doubles, l2: float) -> Doubles:
    """Steck (2019), algorithm 1, as printed."""
    gram = matrix.T @ matrix
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights: Doubles = inverse / (-np.diag(inverse))
    weights[np.diag_indices_from(weights)] = 0
    return weights


def test_at_full_rank_the_factors_are_ease_as_printed() -> None:
    events = two_worlds(np.random.default_rng(0))
    matrix = np.zeros((60, 20))
    matrix[events.user_key, events.item_key] = 1.0
    model = fit(events)
    assert model.dims == 20
    assert_allclose(model.input_vectors @ model.output_vectors.T, ease_by_steck(matrix, 5.0), atol=1e-5)


def test_a_user_of_one_world_scores_that_world_higher_from_the_first_event() -> None:
    model = fit(two_worlds(np.random.default_rng(0)), settings=InterestSettings(rank=4, l2=5.0))
    assert model.dims == 4
    user = model.user_vectors(np.array([0, 1]), np.array([3]), np.array([1.0]))
    scores = (user @ model.output_vectors.T)[0]
    assert scores[:10].mean() > scores[10:].mean() + 0.05


def test_entries_are_the_greatest_weight_of_a_pair_and_negative_events_are_none() -> None:
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
    assert_array_equal(found.input_vectors, expected.input_vectors)


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
    settings = InterestSettings(rank=2, l2=1.0)
    pair = columns(np.array([0, 0]), np.array([0, 1]), age_s=60 * DAY_S)
    weights = fit(pair, items=2, settings=settings)
    matrix = np.array([[0.5, 0.5]])
    assert_allclose(weights.input_vectors @ weights.output_vectors.T, ease_by_steck(matrix, 1.0), atol=1e-6)


def test_beyond_the_limit_only_the_items_with_most_users_are_modelled() -> None:
    user = np.array([0, 1, 2, 0, 1, 0, 2])
    item = np.array([5, 5, 5, 2, 2, 7, 9])
    model = fit(columns(user, item), items=10, settings=InterestSettings(l2=1.0, max_items=3))
    assert model.item_ids == ("i2", "i5", "i7")  # i7 and i9 have as many users: the lower key


def test_a_log_without_events_gives_a_model_without_items() -> None:
    model = fit(columns(np.array([], dtype=np.int64), np.array([], dtype=np.int64)))
    assert model.item_ids == ()
    assert_array_equal(model.user_vectors(np.array([0, 1]), np.array([-1]), np.array([1.0])), np.zeros((1, 1)))
    empty = fit_interest_model(columns(np.array([0]), np.array([0])), np.array([], dtype=np.int64), [], NOW, SETTINGS,
                               np.random.default_rng(0))  # fmt: skip
    assert empty.item_ids == ()


def test_a_user_vector_is_the_weighted_sum_over_the_norm_of_the_weights() -> None:
    model = toy_model(np.random.default_rng(3))
    found = model.user_vectors(np.array([0, 3]), np.array([4, -1, 7]), np.array([2.0, 9.0, -1.0]))
    expected = (2 * model.input_vectors[4] - model.input_vectors[7]) / np.sqrt(5)
    assert_allclose(found[0], expected, rtol=1e-6)


def test_without_a_positive_weight_the_vector_is_zero() -> None:
    model = toy_model(np.random.default_rng(3))
    found = model.user_vectors(np.array([0, 1, 1]), np.array([4]), np.array([-1.0]))
    assert_array_equal(found, np.zeros((2, model.dims)))


def test_a_users_vector_is_bit_equal_in_every_batch() -> None:
    rng = np.random.default_rng(5)
    model = toy_model(rng)
    lengths = rng.integers(0, 40, 33)
    offsets = ragged_offsets(lengths)
    rows, weights = rng.integers(-1, 50, offsets[-1]), rng.normal(size=offsets[-1])
    together = model.user_vectors(offsets, rows, weights)
    for user in range(33):
        part = slice(offsets[user], offsets[user + 1])
        alone = model.user_vectors(np.array([0, lengths[user]]), rows[part], weights[part])
        assert_array_equal(alone[0], together[user])


def test_every_event_type_has_a_weight_and_negative_ones_are_negative() -> None:
    assert set(TYPE_WEIGHTS) == set(EVENT_TYPES)
    negative = {event_type for event_type, weight in TYPE_WEIGHTS.items() if weight < 0}
    assert negative == {EventType.DISLIKE, EventType.SKIP, EventType.HIDE}


def test_behaviour_weights_follow_type_age_count_and_value() -> None:
    rule = BehaviourWeights(half_life_s=10.0, rating_low=1.0, rating_high=5.0)
    types = (EventType.PURCHASE, EventType.PURCHASE, EventType.PORTION, EventType.RATING, EventType.RATING)
    found = rule.of(
        np.array([EVENT_CODES[event_type] for event_type in types], dtype=np.int8),
        np.array([1, 3, 2, 1, 1], dtype=np.int32),
        np.array([7.0, 3.0, 1.0, 5.0, 1.0]),
        np.array([90.0, 150.0, 100.0, 100.0, 100.0]),
        np.full(5, 100.0),
    )
    expected = [0.5, 1 + np.log(3) / 4, 0.25 * (1 + np.log(2) / 4), 0.8, 0.2]
    assert_allclose(found, expected)


def test_a_saved_model_loads_read_only_and_bit_equal(tmp_path: Path) -> None:
    model = toy_model(np.random.default_rng(3))
    model.save(tmp_path)
    loaded = InterestModel.load(tmp_path)
    assert loaded.item_ids == model.item_ids
    assert loaded.weights == model.weights
    assert_array_equal(loaded.input_vectors, model.input_vectors)
    assert_array_equal(loaded.output_vectors, model.output_vectors)
    assert not loaded.output_vectors.flags.writeable


@pytest.mark.parametrize(("name", "content"), [("vectors.safetensors", b"junk"), ("model.json", b"{}")])
def test_a_broken_file_is_an_invalid_release(tmp_path: Path, name: str, content: bytes) -> None:
    toy_model(np.random.default_rng(3)).save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRelease, match=r"expected"):
        InterestModel.load(tmp_path)


def test_vectors_for_another_number_of_items_are_an_invalid_release() -> None:
    vectors: Floats = np.zeros((2, 3), dtype=np.float32)
    with pytest.raises(InvalidRelease, match="1 item ids, 2 input and 2 output vectors"):
        InterestModel(["a"], vectors, vectors, BehaviourWeights(1.0))


def toy_model(rng: np.random.Generator) -> InterestModel:
    vectors = rng.normal(size=(2, 50, 8)).astype(np.float32)
    return InterestModel([f"i{row}" for row in range(50)], vectors[0], vectors[1], BehaviourWeights(180 * DAY_S))

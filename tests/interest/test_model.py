"""InterestModel: user vectors that do not depend on the batch, behaviour weights, a safe file."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Floats, ragged_offsets
from interest.errors import InvalidRelease
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.model import DAY_S, STATISTICS, TYPE_WEIGHTS, BehaviourWeights, InterestModel


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
    assert_array_equal(loaded.statistics, model.statistics)
    assert loaded.heads == model.heads
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


def test_dimensions_that_do_not_make_equal_heads_are_an_invalid_release() -> None:
    vectors: Floats = np.zeros((1, 3), dtype=np.float32)
    with pytest.raises(InvalidRelease, match="3 dimensions do not make 2 equal heads"):
        InterestModel(["a"], vectors, vectors, BehaviourWeights(1.0), heads=2)


def toy_model(rng: np.random.Generator) -> InterestModel:
    vectors = rng.normal(size=(2, 50, 8)).astype(np.float32)
    ids = [f"i{row}" for row in range(50)]
    statistics = rng.normal(size=(50, len(STATISTICS))).astype(np.float32)
    return InterestModel(ids, vectors[0], vectors[1], BehaviourWeights(180 * DAY_S), 2, statistics)

"""Items that the model has not learned get the vectors of learned items with near texts."""

import numpy as np

from interest.batch import Floats
from ranking.lender import NEIGHBOURS, SHARPNESS, Lender


def unit(rng: np.random.Generator, count: int, width: int) -> Floats:
    rows = rng.normal(size=(count, width)).astype(np.float32)
    unit_rows: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit_rows


def test_a_vector_is_the_weighed_mean_of_the_nearest_ones() -> None:
    rng = np.random.default_rng(0)
    content, vectors, asked = unit(rng, 40, 8), unit(rng, 40, 6), unit(rng, 30, 8)
    lent = Lender(content, vectors).vectors(asked)
    for row, text in enumerate(asked.astype(np.float64)):
        cosines = content @ text
        nearest = np.argsort(-cosines)[:NEIGHBOURS]
        weight = np.maximum(cosines[nearest], 0.0) ** SHARPNESS
        np.testing.assert_allclose(lent[row], weight @ vectors[nearest] / weight.sum(), rtol=1e-4, atol=1e-6)


def test_a_vector_has_the_same_bits_whoever_else_asks() -> None:
    rng = np.random.default_rng(1)
    lender, asked = Lender(unit(rng, 50, 16), unit(rng, 50, 6)), unit(rng, 33, 16)
    whole = lender.vectors(asked)
    for row in range(len(asked)):
        assert lender.vectors(asked[row : row + 1]).tobytes() == whole[row : row + 1].tobytes()


def test_an_item_that_is_like_no_other_borrows_nothing() -> None:
    content = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=np.float32)
    lender = Lender(content, np.ones((2, 4), dtype=np.float32))
    asked = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    assert not lender.vectors(asked).any()


def test_only_items_with_text_and_vector_lend() -> None:
    content = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    vectors = np.array([[1.0, 1.0], [5.0, 5.0], [0.0, 0.0]], dtype=np.float32)
    lent = Lender(content, vectors).vectors(np.array([[1.0, 0.0]], dtype=np.float32))
    np.testing.assert_array_equal(lent, [[1.0, 1.0]])


def test_without_anybody_to_borrow_from_vectors_are_zero() -> None:
    nobody = Lender(np.zeros((0, 3), dtype=np.float32), np.zeros((0, 4), dtype=np.float32))
    np.testing.assert_array_equal(nobody.vectors(np.ones((2, 3), dtype=np.float32)), np.zeros((2, 4)))

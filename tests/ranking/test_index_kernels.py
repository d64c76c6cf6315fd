"""The shared kernels, each against NumPy."""

import numpy as np

from ranking.index_kernels import Selection, exact_rows, pairs


def test_exact_rows_reads_vectors_in_place_and_keeps_to_the_selection() -> None:
    rng = np.random.default_rng(2)
    vectors, queries = rng.normal(size=(500, 8)).astype(np.float32), rng.normal(size=(3, 8)).astype(np.float32)
    vectors.setflags(write=False)
    mask = rng.random(500) < 0.2
    rows = exact_rows(queries, vectors, 10, Selection(mask).selector)
    scores = np.where(mask, queries @ vectors.T, -np.inf)
    np.testing.assert_array_equal(rows, np.argsort(-scores, axis=1)[:, :10])
    assert (exact_rows(queries, vectors[:4], 6)[:, 4:] == -1).all()


def test_pairs_are_the_inner_products_of_the_named_rows() -> None:
    rng = np.random.default_rng(3)
    vectors, queries = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(2, 8)).astype(np.float32)
    rows = np.array([[3, 40, 3], [0, 49, 7]])
    np.testing.assert_allclose(
        pairs(queries, vectors, rows), np.einsum("bd,bnd->bn", queries, vectors[rows]), rtol=1e-5
    )

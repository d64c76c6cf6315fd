"""Cells: every row in one, the nearest ones first, and no more of them looked into than measured to be needed."""

import numpy as np

from interest.batch import Floats
from ranking.index_cells import Cells, make_cells, rows_of
from ranking.index_ivf import IvfMain, probed, selected_sizes
from ranking.index_kernels import Selection
from ranking.index_tuning import make_trials, needed_shares, recalls, sampled_queries


def made(rows: int = 4_000, dims: int = 16) -> tuple[Cells, Floats]:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(20, dims))
    vectors = (centres[rng.integers(20, size=rows)] + 0.3 * rng.normal(size=(rows, dims))).astype(np.float32)
    vectors = vectors * rng.uniform(0.5, 2, size=(rows, 1)).astype(np.float32)
    cells, order = make_cells(lambda part: vectors[part], rows, np.random.default_rng(2))
    assert sorted(order.tolist()) == list(range(rows))
    return cells, vectors[order]


def test_all_cells_together_hold_every_row_once_and_one_cell_its_own() -> None:
    cells, vectors = made()
    count = len(cells.centroids)
    assert sorted(rows_of(cells, np.arange(count)[::-1]).tolist()) == list(range(len(vectors)))
    chosen = np.array([5, 2])
    expected = [*range(*cells.offsets[5:7].tolist()), *range(*cells.offsets[2:4].tolist())]
    assert rows_of(cells, chosen).tolist() == expected


def test_the_order_of_cells_does_not_depend_on_the_length_of_the_query() -> None:
    cells, vectors = made()
    query = vectors[7]
    np.testing.assert_array_equal(cells.ranked(query)[0], cells.ranked(4 * query)[0])
    assert len(cells.ranked(np.zeros_like(query))[0]) == len(cells.centroids)


def test_selected_rows_are_counted_by_cell() -> None:
    cells, vectors = made()
    mask = np.random.default_rng(3).random(len(vectors)) < 0.3
    slow = [int(mask[start:stop].sum()) for start, stop in zip(cells.offsets[:-1], cells.offsets[1:], strict=True)]
    assert selected_sizes(cells, Selection(mask)).tolist() == slow


def test_the_needed_share_reaches_the_recall_and_half_of_it_does_not() -> None:
    cells, vectors = made()
    trial, _ = make_trials(vectors, np.random.default_rng(4), 200)
    curve = needed_shares(cells, trial, 0.95)
    assert recalls(IvfMain(cells, curve), vectors, trial, 100).mean() >= 0.95
    assert recalls(IvfMain(cells, curve.scaled(0.5, most=1.0)), vectors, trial, 100).mean() < 0.95


def test_a_filter_about_something_else_than_the_query_gets_no_cells() -> None:
    cells, vectors = made()
    query = vectors[0]
    trial, _ = make_trials(vectors, np.random.default_rng(4), 200)
    curve = needed_shares(cells, trial, 0.95)
    mask = np.zeros(len(vectors), dtype=bool)
    mask[np.argsort(vectors @ query)[:800]] = True
    far, near = Selection(mask), Selection(~mask)
    assert len(probed(cells, curve, query, 100, selected_sizes(cells, far), far)[0]) == 0
    assert len(probed(cells, curve, query, 100, selected_sizes(cells, near), near)[0]) > 0


def test_queries_are_sampled_alike_from_the_same_seed() -> None:
    _, vectors = made(500)
    first, again = (sampled_queries(vectors, np.random.default_rng(5), 8) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert all((vectors == query).all(axis=1).any() for query in first[[0, 1, 4, 5]])

"""Neighbourhoods against loops over pairs."""

import numpy as np
import scipy.sparse
from numpy.testing import assert_allclose

from ranking.baselines.data import World, fitted_matrix, history_matrix, requests_of
from ranking.baselines.neighbours import UserKnn, cosine_neighbours, keep_best


def test_item_similarities_agree_with_a_loop_over_pairs(world: World) -> None:
    matrix = fitted_matrix(world, 40.0)
    dense = matrix.toarray().astype(np.float64)
    expected = np.zeros((12, 12))
    for j in range(12):
        likeness = []
        for i in range(12):
            norms = np.linalg.norm(dense[:, i]) * np.linalg.norm(dense[:, j])
            likeness.append(0.0 if i == j else dense[:, i] @ dense[:, j] / (norms + 2.0))
        for i in sorted(range(12), key=lambda i: -likeness[i])[:4]:
            expected[j, i] = likeness[i]  # the neighbours of j; a history item i then votes for j
    assert_allclose(cosine_neighbours(matrix, 4, 2.0).toarray(), expected.T, atol=1e-6)


def test_of_equal_entries_the_lower_columns_are_kept_and_nothing_below_zero() -> None:
    rows = scipy.sparse.csr_matrix(np.array([[2.0, 1.0, 1.0, 1.0], [-1.0, 0.0, 3.0, 0.0]], dtype=np.float32))
    assert_allclose(keep_best(rows, 2).toarray(), [[2, 1, 0, 0], [0, 0, 3, 0]])


def test_user_neighbours_agree_with_a_loop_and_never_hold_oneself(world: World) -> None:
    requests = requests_of(np.array([3, -1]), np.full(2, 60.0 * 86_400), world.live, exclude_seen=False)
    settings = {"fit_half_life_days": 30.0, "half_life_days": None, "neighbours": 5}
    found = UserKnn().fit(world, settings).scores(requests)
    fitted, own = fitted_matrix(world, 30.0).toarray(), history_matrix(requests, 12, None).toarray()[0]
    likeness = []
    for user in range(30):
        norms = np.linalg.norm(fitted[user]) * np.linalg.norm(own)
        likeness.append(0.0 if user == 3 or norms == 0 else float(fitted[user] @ own / norms))
    best = sorted(range(30), key=lambda user: -likeness[user])[:5]
    assert_allclose(found[0], sum(likeness[user] * fitted[user] for user in best), atol=1e-5)
    assert not found[1].any(), "somebody without a history has no neighbours"

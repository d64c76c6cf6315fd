"""Places of scores within a user."""

import numpy as np
from numpy.testing import assert_array_equal

from ranking.item_features import ranks


def test_each_row_of_scores_is_ranked_by_itself_within_each_user() -> None:
    offsets = np.array([0, 3, 3, 5])
    user = np.array([0, 0, 0, 2, 2])
    scores = np.array([[1.0, 3.0, 2.0, 5.0, 7.0], [np.nan, 4.0, 4.0, np.nan, np.nan]], dtype=np.float32)
    expected = [[2, 0, 1, 1, 0], [np.nan, 0, 1, np.nan, np.nan]]
    assert_array_equal(ranks(scores, user, offsets), expected)


def test_nobody_has_ranks_without_candidates() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert ranks(np.zeros((2, 0)), nothing, np.array([0])).shape == (2, 0)
    assert ranks(np.zeros((2, 0)), nothing, np.array([0, 0])).shape == (2, 0)

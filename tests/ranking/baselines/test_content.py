"""Content cosine: what reads like the history comes first."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ranking.baselines.base import rank
from ranking.baselines.content import Content, declared_scores
from ranking.baselines.data import Interactions, Requests, World

TEXTS = ["red lamp", "blue mug", "red lamp shade", "blue mug large"]
ACTS = Interactions(np.array([0]), np.array([0]), np.array([1.0]))
EMBEDDINGS = np.array([[1, 0], [0, 1], [0.8, 0.6], [0, 0]], dtype=np.float32)
WORLD = World(1, 4, ACTS, ACTS, TEXTS, EMBEDDINGS)
REQUESTS = Requests(np.array([0]), np.array([2.0]), ACTS, exclude_seen=True)


@pytest.mark.parametrize("vectors", ["words", "characters", "encoder"])
def test_an_item_like_the_one_bought_comes_first(vectors: str) -> None:
    scores = Content().fit(WORLD, {"vectors": vectors, "half_life_days": None}).scores(REQUESTS)
    assert rank(scores, REQUESTS, 1)[0, 0] == 2


def test_the_encoders_vectors_are_compared_by_their_inner_product() -> None:
    scores = Content().fit(WORLD, {"vectors": "encoder", "half_life_days": None}).scores(REQUESTS)
    assert_allclose(scores, [[1.0, 0.0, 0.8, 0.0]], atol=1e-6)


def test_declared_words_find_the_items_that_hold_them() -> None:
    scores = declared_scores(TEXTS, ["mug blue", "nothing of it"])
    assert_array_equal(np.argsort(-scores[0], kind="stable")[:2], [1, 3])
    assert not scores[1].any()

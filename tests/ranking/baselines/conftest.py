"""A small random world for the baselines."""

import numpy as np
import pytest

from ranking.baselines.data import DAY_S, Interactions, World


@pytest.fixture
def world() -> World:
    """30 users, 12 items, 300 acts in 100 days; the last item is never touched."""
    rng = np.random.default_rng(5)
    times = rng.integers(0, 100, 300).astype(np.float64) * DAY_S
    acts = Interactions(rng.integers(0, 30, 300), rng.integers(0, 11, 300), times).by_time()
    texts = [f"red lamp {row}" if row % 2 else f"blue mug {row}" for row in range(12)]
    return World(30, 12, acts, acts, texts)

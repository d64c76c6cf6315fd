"""The compiled look-up of shared facets against dictionaries, with hashes that want the same places."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Floats, Longs, ragged_offsets
from ranking.facet_loop import compiled_overlap

USERS, ITEMS = 9, 40


class Owners(NamedTuple):
    """Facets of several users or items, distinct within each."""

    offsets: Longs
    hashes: npt.NDArray[np.uint64]
    weights: Floats

    def of(self, owner: int) -> dict[int, float]:
        part = slice(self.offsets[owner], self.offsets[owner + 1])
        return dict(zip(self.hashes[part].tolist(), self.weights[part].tolist(), strict=True))


def some(rng: np.random.Generator, facets: npt.NDArray[np.uint64], owners: int, most: int) -> Owners:
    chosen = [np.sort(rng.permutation(facets)[: rng.integers(0, most)]) for _ in range(owners)]
    weights = rng.integers(0, 4, size=sum(map(len, chosen))) / 4  # some are 0: muted
    return Owners(ragged_offsets([len(part) for part in chosen]), np.concatenate(chosen), weights.astype(np.float32))


@pytest.mark.parametrize("equal_bits", [0, 32])
def test_what_is_shared_is_what_dictionaries_find(equal_bits: int) -> None:
    """Hashes whose lowest bits are equal all want one place, and fill those after it."""
    rng = np.random.default_rng(equal_bits)
    facets = np.unique(rng.integers(0, 2**64, size=60, dtype=np.uint64) >> np.uint64(32) << np.uint64(equal_bits))
    users, items = some(rng, facets, USERS, 30), some(rng, facets, ITEMS, 8)
    rows = rng.integers(-1, ITEMS, size=100)
    offsets = np.sort(np.concatenate([[0, 100], rng.integers(0, 100, size=USERS - 1)]))
    overlap, share, muted = np.empty(100), np.empty(100), np.empty(100, dtype=np.bool_)
    compiled_overlap()(*users, *items, offsets, rows, overlap, share, muted)
    for user in range(USERS):
        liked = users.of(user)
        for place in range(offsets[user], offsets[user + 1]):
            carried = items.of(int(rows[place])) if rows[place] >= 0 else {}
            expected = sum(liked[facet] * weight for facet, weight in carried.items() if facet in liked)
            own = sum(carried.values())
            assert_allclose(overlap[place], expected, rtol=1e-12)
            assert_allclose(share[place], expected / own if own else np.nan, rtol=1e-12)
            assert_array_equal(muted[place], any(liked.get(facet) == 0 for facet in carried))


def test_a_user_without_facets_shares_none() -> None:
    one = np.array([0, 1]), np.array([7], dtype=np.uint64), np.ones(1, dtype=np.float32)
    nobody = np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.float32)
    overlap, share, muted = np.empty(1), np.empty(1), np.empty(1, dtype=np.bool_)
    compiled_overlap()(*nobody, *one, np.array([0, 1]), np.zeros(1, dtype=np.int64), overlap, share, muted)
    assert (overlap[0], share[0], muted[0]) == (0.0, 0.0, False)

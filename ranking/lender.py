"""Vectors for items that the interest model has not learned, borrowed from learned items with the nearest texts.

Source: Gantner, Z. et al. (2010), "Learning attribute-to-feature mappings for cold-start recommendations", ICDM, of
which this is the k-nearest-neighbour mapping (section III-B): new items get what is predicted for items like them.
"""

import numpy as np

from interest.batch import Floats, Longs

NEIGHBOURS = 5
SHARPNESS = 3  # power of the cosine that a neighbour's vector is weighed with
AT_ONCE = 1_024
MOST_BORROWERS = 50_000  # the newest items: vectors of more would cost a gigabyte of every replica


class Lender:
    """The texts and vectors of the learned items that have both, as they were when it was made."""

    def __init__(self, content: Floats, vectors: Floats) -> None:
        """`content` float32 [m, E] of unit length or zero, `vectors` float32 [m, D]."""
        known = content.any(axis=1) & vectors.any(axis=1)
        self._content = np.ascontiguousarray(content[known])
        self._vectors = np.ascontiguousarray(vectors[known])

    def vectors(self, content: Floats) -> Floats:
        """float32 [n, D] for items with these texts, float32 [n, E]; zero where no learned item is like it.

        The mean of the vectors of the `NEIGHBOURS` nearest texts, each weighed with its cosine to the power of
        `SHARPNESS`. An item's vector has the same bits whatever other items are asked about.
        """
        found = np.zeros((len(content), self._vectors.shape[1]), dtype=np.float32)
        if len(self._content):
            for start in range(0, len(content), AT_ONCE):
                found[start : start + AT_ONCE] = self._lent(content[start : start + AT_ONCE])
        return found

    def _lent(self, content: Floats) -> Floats:
        count = min(NEIGHBOURS, len(self._content))
        cosines = content @ self._content.T
        nearest: Longs = np.sort(np.argpartition(-cosines, count - 1, axis=1)[:, :count], axis=1)
        own = np.einsum("nke,ne->nk", self._content[nearest], content)  # the product above depends on its neighbours
        weight = np.maximum(own, 0.0) ** SHARPNESS
        total = weight.sum(axis=1, keepdims=True)
        share = weight / np.where(total > 0, total, 1.0)
        lent: Floats = np.einsum("nk,nkd->nd", share, self._vectors[nearest])
        return lent

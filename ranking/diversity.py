"""Diversity and calibration: a greedy re-ordering of each user's best candidates, at a price in score they name.

At each place of the list comes the candidate with the greatest

    (1 - c) ((1 - d) relevance - d similarity) - c divergence

with d the request's `diversity` and c its `calibration`, both 0 to 1. `relevance` is the score between the least (0)
and the greatest (1) of the user's own pool, so that neither the scale of a model nor the batch matters. `similarity` is
the mean cosine to the items above: maximal marginal relevance (Carbonell, J., Goldstein, J. (1998), "The use of MMR")
with the mean for their maximum, which is greedy max-sum diversification (Borodin, A. et al. (2012)); on our data it
buys as much diversity for the same nDCG as the maximum or more, and reaches more of it. `divergence` is that of
`ranking.calibration` with the item added, over its greatest value. With c = 0 the first place keeps the best score.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats, Longs
from ranking.calibration import Mixes, no_mixes
from ranking.diversity_kernel import greedy_batch

POOL = 100  # best candidates that are re-ordered; a constant, so that a longer list begins like a shorter one


@dataclass(frozen=True, slots=True)
class ScoreOrder:
    """The candidates of B users, best first; `order` holds their places in the candidate batch."""

    offsets: Longs  # [B + 1] cuts all the others
    order: Longs  # [N]
    score: Floats  # [N] in this order
    held_back: npt.NDArray[np.bool_]  # [N] in this order: after every other candidate, whatever is asked (muted items)

    def pool_sizes(self, most: int | Longs) -> Longs:
        """int64 [B]: how many of each user's best candidates, at most `most`, may change places."""
        free = np.concatenate([[0], np.cumsum(~self.held_back)])
        sizes: Longs = np.minimum(free[self.offsets[1:]] - free[self.offsets[:-1]], most)
        return sizes


def diversify(
    ranked: ScoreOrder,
    rows: Longs,
    content: Floats,
    count: Longs,
    diversity: Doubles,
    calibration: Doubles | None = None,
    mixes: Mixes | None = None,
) -> Longs:
    """`ranked.order` with the first `count` [B] places of each user chosen greedily; the rest follow by score.

    `rows` [N]: row of each candidate in `content` float32 [items, E] (unit length or zero), in the order of `ranked`;
    -1 counts as orthogonal to all. `diversity`, `calibration` [B]; where both are 0 the order stays as it is. Equal
    values go by score, then by lower item. A user's part does not depend on the batch it travels in.
    """
    order = ranked.order.copy()
    greedy_batch(
        order,
        # Copies: arrays off the wire are read-only, which to the compiler is another type and another compilation.
        ranked.offsets.copy(),
        ranked.score.astype(np.float64),
        ranked.pool_sizes(POOL),
        rows.copy(),
        content,
        count.copy(),
        diversity.copy(),
        np.zeros(len(count)) if calibration is None else calibration.copy(),
        *(mixes or no_mixes(len(count), len(content))).arrays(),
    )
    return order


def compile_ahead() -> None:
    """Compile now (about two seconds), so that no request has to."""
    one = np.zeros(1, dtype=np.int64)
    ranked = ScoreOrder(np.array([0, 1]), one, np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.bool_))
    diversify(ranked, one, np.zeros((1, 1), dtype=np.float32), one + 1, np.ones(1))

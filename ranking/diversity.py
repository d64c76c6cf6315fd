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

import math
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats, Longs
from ranking.calibration import SMOOTHING, Mixes, no_mixes

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
    _greedy_batch(
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


def _dot(left: Floats, right: Floats) -> float:
    total = np.float32(0.0)
    for place in range(len(left)):
        total += left[place] * right[place]
    return total  # type: ignore[return-value]  # a float once compiled


def _terms(share: float, shown: float) -> float:
    """One category's part of the divergence: its share of the user's mix, and of the list's."""
    return share * math.log(share / ((1.0 - SMOOTHING) * shown + SMOOTHING * share))


def _similarities(content: Floats, rows: Longs, start: int, size: int, latest: int, total: Doubles) -> None:
    """Add each candidate's cosine to the candidate at place `latest` to `total`."""
    if rows[start + latest] < 0:
        return
    vector = content[rows[start + latest]]
    for place in range(size):
        if rows[start + place] >= 0:
            total[place] += _dot_compiled(content[rows[start + place]], vector)


def _divergences(
    rows: Longs,
    start: int,
    size: int,
    item_offsets: Longs,
    item_category: Longs,
    codes: Longs,
    shares: Doubles,
    share_of: Doubles,
    shown: Doubles,
    told: int,
    found: Doubles,
) -> None:
    """Write what the divergence would be with each candidate added to a list with `told` items of known categories."""
    before, after = 0.0, 0.0
    for place in range(len(codes)):
        amount = shown[codes[place]]
        before += _terms_compiled(shares[place], amount / max(told, 1))
        after += _terms_compiled(shares[place], amount / (told + 1))
    for place in range(size):
        row = rows[start + place]
        own = item_category[item_offsets[row] : item_offsets[row + 1]] if row >= 0 else item_category[:0]
        found[place] = after if len(own) else before
        for category in own:
            if share_of[category] > 0:
                share, amount = share_of[category], shown[category]
                found[place] += _terms_compiled(share, (amount + 1.0 / len(own)) / (told + 1))
                found[place] -= _terms_compiled(share, amount / (told + 1))


def _greedy_batch(
    order: Longs,
    offsets: Longs,
    score: Doubles,
    pool: Longs,
    rows: Longs,
    content: Floats,
    count: Longs,
    diversity: Doubles,
    calibration: Doubles,
    item_offsets: Longs,
    item_category: Longs,
    mix_offsets: Longs,
    mix_category: Longs,
    mix_share: Doubles,
    categories: int,
) -> None:
    """Rewrites `order`, which is the caller's fresh copy. One user after the other: their vectors fit the cache."""
    share_of, shown = np.zeros(categories), np.zeros(categories)
    for user in range(len(count)):
        start, size = offsets[user], pool[user]
        codes = mix_category[mix_offsets[user] : mix_offsets[user + 1]]
        shares = mix_share[mix_offsets[user] : mix_offsets[user + 1]]
        d, c = diversity[user], calibration[user] if len(codes) else 0.0
        if size < 2 or (d <= 0 and c <= 0):
            continue
        for category in range(categories):
            share_of[category] = shown[category] = 0.0
        for place in range(len(codes)):
            share_of[codes[place]] = shares[place]
        low, high = score[start + size - 1], score[start]
        spread = high - low if high > low else 1.0
        similar, divergence = np.zeros(size), np.zeros(size)
        taken = np.zeros(size, dtype=np.bool_)
        chosen = np.empty(min(count[user], size), dtype=np.int64)
        told = 0
        for step in range(len(chosen)):
            if c > 0:
                _divergences_compiled(
                    rows, start, size, item_offsets, item_category, codes, shares, share_of, shown, told, divergence
                )
            best, greatest = -1, -np.inf
            for place in range(size):
                if not taken[place]:
                    gain = (1.0 - d) * (score[start + place] - low) / spread - d * similar[place] / max(step, 1)
                    gain = (1.0 - c) * gain + c * divergence[place] / math.log(SMOOTHING)
                    if gain > greatest:
                        best, greatest = place, gain
            taken[best], chosen[step] = True, best
            if d > 0 and step + 1 < len(chosen):
                _similarities_compiled(content, rows, start, size, best, similar)
            row = rows[start + best]
            if row >= 0 and item_offsets[row + 1] > item_offsets[row]:
                own = item_category[item_offsets[row] : item_offsets[row + 1]]
                for category in own:
                    shown[category] += 1.0 / len(own)
                told += 1
        _rewrite_compiled(order, start, chosen, taken)


def _rewrite(order: Longs, start: int, chosen: Longs, taken: npt.NDArray[np.bool_]) -> None:
    """The chosen ones in their order, then the rest of the pool by score."""
    before = order[start : start + len(taken)].copy()
    for step in range(len(chosen)):
        order[start + step] = before[chosen[step]]
    step = len(chosen)
    for place in range(len(taken)):
        if not taken[place]:
            order[start + step] = before[place]
            step += 1


_compile = numba.njit(nogil=True)
_dot_compiled = numba.njit(nogil=True, fastmath={"reassoc", "contract"})(_dot)  # sums in SIMD lanes
_terms_compiled = _compile(_terms)
_similarities_compiled = _compile(_similarities)
_divergences_compiled = _compile(_divergences)
_rewrite_compiled = _compile(_rewrite)
_greedy_batch = _compile(_greedy_batch)

"""The loops of `ranking.diversity`, compiled by Numba: nothing here is called but `greedy_batch`.

Arrays are those of `ranking.diversity.diversify` and `ranking.calibration.Mixes`. `start` is where a user's candidates
begin, `size` how many of them may change places, a "place" counts from `start`.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats, Longs
from ranking.calibration import SMOOTHING


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


def _best(
    score: Doubles,
    start: int,
    taken: npt.NDArray[np.bool_],
    step: int,
    d: float,
    c: float,
    similar: Doubles,
    far: Doubles,
) -> int:
    """Place of the candidate with the greatest gain, the earlier of equal ones."""
    size = len(taken)
    low, high = score[start + size - 1], score[start]
    spread = high - low if high > low else 1.0
    best, greatest = -1, -np.inf
    for place in range(size):
        if not taken[place]:
            gain = (1.0 - d) * (score[start + place] - low) / spread - d * similar[place] / max(step, 1)
            gain = (1.0 - c) * gain + c * far[place] / math.log(SMOOTHING)
            if gain > greatest:
                best, greatest = place, gain
    return best


def _choose(
    chosen: Longs,
    score: Doubles,
    start: int,
    taken: npt.NDArray[np.bool_],
    rows: Longs,
    content: Floats,
    d: float,
    c: float,
    item_offsets: Longs,
    item_category: Longs,
    codes: Longs,
    shares: Doubles,
    share_of: Doubles,
    shown: Doubles,
) -> None:
    """Fill `chosen` with places of one user's pool; `share_of` and `shown` [categories] come as zeros."""
    size, told = len(taken), 0
    similar, far = np.zeros(size), np.zeros(size)
    for place in range(len(codes)):
        share_of[codes[place]] = shares[place]
    for step in range(len(chosen)):
        if c > 0:
            _divergences_compiled(
                rows, start, size, item_offsets, item_category, codes, shares, share_of, shown, told, far
            )
        best = _best_compiled(score, start, taken, step, d, c, similar, far)
        taken[best], chosen[step] = True, best
        if d > 0 and step + 1 < len(chosen):
            _similarities_compiled(content, rows, start, size, best, similar)
        row = rows[start + best]
        if row >= 0 and item_offsets[row + 1] > item_offsets[row]:
            told += 1
            own = item_category[item_offsets[row] : item_offsets[row + 1]]
            for category in own:
                shown[category] += 1.0 / len(own)


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
    for user in range(len(count)):
        start, size = offsets[user], pool[user]
        codes = mix_category[mix_offsets[user] : mix_offsets[user + 1]]
        shares = mix_share[mix_offsets[user] : mix_offsets[user + 1]]
        d, c = diversity[user], calibration[user] if len(codes) else 0.0
        if size < 2 or (d <= 0 and c <= 0):
            continue
        taken, chosen = np.zeros(size, dtype=np.bool_), np.empty(min(count[user], size), dtype=np.int64)
        share_of, shown = np.zeros(categories), np.zeros(categories)
        _choose_compiled(
            chosen, score, start, taken, rows, content, d, c,
            item_offsets, item_category, codes, shares, share_of, shown,
        )  # fmt: skip
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
_best_compiled = _compile(_best)
_choose_compiled = _compile(_choose)
greedy_batch = _compile(_greedy_batch)

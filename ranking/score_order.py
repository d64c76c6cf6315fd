"""The order of scores, found by sorting whole numbers of 64 bits.

NumPy sorts those several times faster than it finds the order of floats, and they have no ties to be settled.
"""

import numpy as np

from interest.batch import Floats, Longs

SORTED_WHOLE = 4_096  # more scores than this are cut to the best before they are sorted
PLACE_BITS = 0xFFFFFFFF


def falling(scores: Floats, places: Longs) -> Longs:
    """Numbers int64 of the scores' shape that rise as float32 scores fall, then as `places` (below 2^32) rise.

    Their lower 32 bits are the place. NaN comes last.
    """
    bits = (np.float32(0) - scores).view(np.int32)  # of 0 and of -0 it is 0
    numbers: Longs = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)  # as whole numbers in the order of floats
    numbers <<= 32
    numbers |= places
    return numbers


def top(keys: Longs, scores: Floats, k: int) -> Longs:
    """Places of the k best scores float32 [n], best first, equal scores by lower key; `keys` without repeats."""
    places = np.arange(len(scores))
    if len(scores) > max(k, SORTED_WHOLE):
        places = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        keys, scores = keys[places], scores[places]
    if (keys[1:] < keys[:-1]).any():
        by_key = np.argsort(keys)
        places, scores = places[by_key], scores[by_key]
    numbers = falling(scores, np.arange(len(scores)))
    numbers.sort()
    best: Longs = places[numbers[:k] & PLACE_BITS]
    return best

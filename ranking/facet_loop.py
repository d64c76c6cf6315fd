"""The loop that finds the facets that users and candidates share, compiled to machine code.

A user's facets are put into a table by their hash, which the facets of each candidate are then looked up in.
"""

from collections.abc import Callable
from functools import cache

import numba
import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats, Longs
from ranking.machine_code import machine_code

Hashes = npt.NDArray[np.uint64]

_LONGS, _HASHES, _FLOATS = (
    numba.types.Array(kind, 1, "C", readonly=True) for kind in (numba.int64, numba.uint64, numba.float32)
)
_SIGNATURE = numba.void(
    *[_LONGS, _HASHES, _FLOATS],  # user_*
    *[_LONGS, _HASHES, _FLOATS],  # item_*
    *[_LONGS, _LONGS],  # offsets, rows
    *[numba.float64[::1], numba.float64[::1], numba.boolean[::1]],  # overlap, share, muted
)


@cache
def compiled_overlap() -> Callable[..., None]:
    """The loop as machine code for this processor: once a process, and before a request."""
    return machine_code(_overlap, _SIGNATURE)[0]


def _overlap(
    user_offsets: Longs,
    user_hash: Hashes,
    user_weight: Floats,
    item_offsets: Longs,
    item_hash: Hashes,
    item_weight: Floats,
    offsets: Longs,
    rows: Longs,
    overlap: Doubles,
    share: Doubles,
    muted: npt.NDArray[np.bool_],
) -> None:
    """Writes `overlap`, `share` and `muted` [N] for the candidate `rows` [N] of B users, cut by `offsets` [B + 1].

    Facets of users, cut by `user_offsets` [B + 1], and of the catalogue's rows, cut by `item_offsets`, distinct within
    each. A row below 0 has none.
    """
    size = 8  # a power of 2, eight times the facets of any user: most places that are looked at are free
    for user in range(len(offsets) - 1):
        while size < 8 * (user_offsets[user + 1] - user_offsets[user]):
            size *= 2
    last = np.uint64(size - 1)
    owner, place_of = np.full(size, -1, np.int32), np.zeros(size, np.int32)
    for user in range(len(offsets) - 1):
        for facet in range(user_offsets[user], user_offsets[user + 1]):
            place = user_hash[facet] & last
            while owner[place] == user:
                place = (place + np.uint64(1)) & last
            owner[place], place_of[place] = user, facet
        for candidate in range(offsets[user], offsets[user + 1]):
            shared, own, is_muted = 0.0, 0.0, False
            row = rows[candidate]
            for entry in range(item_offsets[row], item_offsets[row + 1]) if row >= 0 else range(0):
                weight = np.float64(item_weight[entry])
                own += weight
                place = item_hash[entry] & last
                while owner[place] == user and user_hash[place_of[place]] != item_hash[entry]:
                    place = (place + np.uint64(1)) & last
                if owner[place] == user:
                    shared += user_weight[place_of[place]] * weight
                    is_muted |= user_weight[place_of[place]] == 0
            overlap[candidate], muted[candidate] = shared, is_muted
            share[candidate] = shared / own if own > 0 else np.nan

"""The loop that tells how near candidates are to the items of their user, compiled to machine code.

Item-based top-N recommendation as `ranking.neighbours` says. The lists of the user's items are read once and what they
say is kept by row, so that a candidate costs one look-up, however many items its user has.
"""

from collections.abc import Callable
from functools import cache

import numba
import numpy as np
import numpy.typing as npt

from interest.batch import Floats, Longs
from ranking.machine_code import machine_code

GREATEST, RECENT, SUM = range(3)  # rows of what the loop writes
COLUMNS = 3

_SIGNATURE = numba.void(
    *[numba.int64[::1], numba.int64[::1]],  # own_offsets, own_row
    *[numba.float32[::1], numba.float32[::1]],  # weight, recency
    numba.types.Array(numba.int32, 2, "C", readonly=True),  # table_rows
    numba.types.Array(numba.float32, 2, "C", readonly=True),  # table_likeness
    *[numba.int64[::1], numba.int64[::1]],  # offsets, rows
    numba.float32[:, ::1],  # found
)


@cache
def compiled_near() -> Callable[..., None]:
    """The loop as machine code for this processor: once a process, and before a request."""
    return machine_code(_near, _SIGNATURE)[0]


def _near(
    own_offsets: Longs,
    own_row: Longs,
    weight: Floats,
    recency: Floats,
    table_rows: npt.NDArray[np.int32],
    table_likeness: Floats,
    offsets: Longs,
    rows: Longs,
    found: Floats,
) -> None:
    """Writes `found` [COLUMNS, N] for the candidate `rows` [N] of B users, cut by `offsets` [B + 1].

    Own items: `own_row` [n], cut by `own_offsets`, with `weight` (0 or less: left out) and `recency` (0 to 1). NaN for
    a row below 0, and for everything of a user without own items.
    """
    said = np.zeros((len(table_rows), COLUMNS), np.float32)
    for user in range(len(offsets) - 1):
        square = np.float32(0.0)
        for own in range(own_offsets[user], own_offsets[user + 1]):
            if own_row[own] >= 0 and weight[own] > 0:
                square += weight[own] * weight[own]
                for place in range(table_rows.shape[1]):
                    near = said[table_rows[own_row[own], place]]
                    likeness = table_likeness[own_row[own], place]
                    near[GREATEST] = max(near[GREATEST], likeness)
                    near[RECENT] = max(near[RECENT], likeness * recency[own])
                    near[SUM] += weight[own] * likeness * likeness * likeness
        length = np.sqrt(square)
        for candidate in range(offsets[user], offsets[user + 1]):
            known = rows[candidate] >= 0 and square > 0
            for column in range(COLUMNS):
                found[column, candidate] = said[rows[candidate], column] if known else np.nan
            if known:
                found[SUM, candidate] /= length
        for own in range(own_offsets[user], own_offsets[user + 1]):
            if own_row[own] >= 0:
                for place in range(table_rows.shape[1]):
                    said[table_rows[own_row[own], place]] = 0.0

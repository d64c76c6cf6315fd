"""Between the stages' ragged arrays and rectangular ones: rows padded at the end, their true lengths beside."""

from collections.abc import Mapping

import numpy as np

from interest.batch import Longs, Tensors, ragged_offsets
from serve.oip.datatypes import Array
from serve.oip.errors import InvalidInput


def padded(values: Array, offsets: Longs, fill: object) -> Array:
    """[batch, longest, ...] of values [n, ...] cut by offsets [batch + 1]."""
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    table = np.full((len(lengths), longest, *values.shape[1:]), fill, dtype=values.dtype)
    table[np.arange(longest) < lengths[:, None]] = values
    return table


def unpadded(name: str, table: Array, lengths: Longs) -> tuple[Array, Longs]:
    """(values [n, ...], offsets [batch + 1]). Raises `InvalidInput` for lengths that the table does not have."""
    longest = table.shape[1]
    if lengths.min(initial=0) < 0 or lengths.max(initial=0) > longest:
        raise InvalidInput(f"inference input '{name}': a length in {lengths.tolist()} is not 0 to {longest}")
    return table[np.arange(longest) < lengths[:, None]], ragged_offsets(lengths)


def trimmed(outputs: Tensors, lengths: Mapping[str, tuple[str, ...]]) -> Tensors:
    """Without the columns that only longer rows of other callers in the same batch needed.

    `lengths`: which outputs are as long as which output says.
    """
    found = dict(outputs)
    for length, names in lengths.items():
        told = outputs[length]
        longest = told.item() if told.size == 1 else int(told.max(initial=0))
        found |= {name: outputs[name][:, :longest] for name in names}
    return found

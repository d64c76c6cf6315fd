"""A batch of the stages' arrays as one row of bytes a user, and back: how they travel through Triton."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from interest.batch import Tensors, ragged_offsets
from serve.oip.datatypes import DATATYPES
from serve.oip.model_config import TensorConfig

Bytes = npt.NDArray[np.uint8]
LENGTH = np.dtype(np.int64)


class Layout:
    """What stands where in a row: the lengths of its ragged slices, then its part of each array."""

    def __init__(self, tensors: Sequence[TensorConfig]) -> None:
        """`tensors`: as `serve.oip.stage_arrays` has them; dims that begin with -1 are of ragged arrays."""
        self._fields = [_Field(one) for one in tensors if not one.name.endswith("_length")]
        self._kinds = list(dict.fromkeys(field.kind for field in self._fields if field.kind))

    def dtype_of(self, name: str) -> np.dtype[Any]:
        """Of one of its arrays."""
        return next(field.dtype for field in self._fields if field.name == name)

    def packed(self, batch: Tensors) -> list[Bytes]:
        """uint8 [1, n] for each row."""
        cuts = {kind: batch[f"{kind}_offsets"] for kind in self._kinds}
        rows = len(batch[self._fields[0].name]) if not self._fields[0].kind else len(next(iter(cuts.values()))) - 1
        arrays = [(np.ascontiguousarray(batch[field.name], field.dtype), field.kind) for field in self._fields]
        found = []
        for row in range(rows):
            parts = [np.array([cut[row + 1] - cut[row] for cut in cuts.values()], LENGTH).tobytes()]
            for array, kind in arrays:
                part = array[cuts[kind][row] : cuts[kind][row + 1]] if kind else array[row : row + 1]
                parts.append(part.tobytes())
            found.append(np.frombuffer(bytearray().join(parts), np.uint8)[None])  # writable, as DLPack has it
        return found

    def unpacked(self, rows: Sequence[Bytes]) -> Tensors:
        """The batch of these rows, each uint8 [n]."""
        head = len(self._kinds) * LENGTH.itemsize
        lengths = np.stack([row[:head].view(LENGTH) for row in rows])
        of_kind = {kind: lengths[:, place] for place, kind in enumerate(self._kinds)}
        found: Tensors = {f"{kind}_offsets": ragged_offsets(of_kind[kind]) for kind in self._kinds}
        at = np.full(len(rows), head)
        for field in self._fields:
            counts = of_kind[field.kind] if field.kind else np.ones(len(rows), LENGTH)
            ends = at + counts * field.size
            raw = np.concatenate([row[a:b] for row, a, b in zip(rows, at.tolist(), ends.tolist(), strict=True)])
            found[field.name] = raw.view(field.dtype).reshape(-1, *field.dims)
            at = ends
        return found


class _Field:
    """One array: `kind` names the offsets that cut it, "" where it has one element a row; `size` of one in bytes."""

    def __init__(self, tensor: TensorConfig) -> None:
        ragged = tensor.dims[0] == -1
        self.name = tensor.name
        self.dtype: np.dtype[Any] = DATATYPES[tensor.datatype]
        self.kind = tensor.name.split("_")[0] if ragged else ""
        dims = tensor.dims[1:] if ragged else tensor.dims
        self.dims = () if dims == (1,) else dims
        self.size = prod(self.dims) * self.dtype.itemsize

"""Named arrays as the body of a frame: a description of them in MessagePack, then their bytes, each at a multiple of 8.

No pickle: what comes over the wire can only become arrays of numbers, of text, or of plain values. Arrays of numbers
and of fixed-width text are where they arrived, not copied. Arrays of objects travel in the description itself, and
sequences among their values come as tuples.
"""

import math
import re
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from interest.batch import Tensors
from interest.errors import AttuneError
from serve.calls.wire import ALIGNMENT, Body, packed, padding, unpacked

OBJECTS = "O"
_KNOWN = re.compile(r"[<>|=](?:b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,9})")

# (name, NumPy's own code of the type, shape, values of an array of objects)
_Description = tuple[str, str, tuple[int, ...], list[Any] | None]
_descriptions = msgspec.msgpack.Decoder(list[_Description])


def body_of(tensors: Tensors) -> Body:
    """Raises `AttuneError` for arrays that cannot be sent: their type says."""
    descriptions: list[_Description] = []
    pieces: list[bytes] = [b""]
    for name, array in tensors.items():
        kind = array.dtype.kind
        if kind == OBJECTS:
            descriptions.append((name, OBJECTS, array.shape, array.ravel().tolist()))
            continue
        code = array.dtype.str
        if _dtype(code) is None:
            raise AttuneError(f"{name}: arrays of {array.dtype} cannot be sent")
        descriptions.append((name, code, array.shape, None))
        if size := array.nbytes:
            pieces.append(array.tobytes())
            if size % ALIGNMENT:
                pieces.append(padding(size))
    try:
        pieces[0] = packed(descriptions)
    except (TypeError, ValueError, OverflowError) as error:
        raise AttuneError(f"an array of objects cannot be sent: {error}") from error
    return pieces


def tensors_of(body: memoryview) -> Tensors:
    """The arrays, in the memory of the body. Raises `ValueError` or `msgspec.MsgspecError` for nonsense."""
    description, start = unpacked(body)
    tensors: Tensors = {}
    for name, code, shape, values in _descriptions.decode(description):
        if values is not None:
            tensors[name] = _objects(name, shape, values)
            continue
        dtype = _dtype(code)
        if dtype is None:
            raise ValueError(f"{name}: {code!r} is no type of arrays that are sent")
        size = math.prod(shape) * dtype.itemsize
        if size < 0 or start + size > len(body):
            raise ValueError(f"{name}: {shape} of {code} does not fit in a body of {len(body)} bytes")
        tensors[name] = np.ndarray(shape, dtype, body, start) if size else np.zeros(shape, dtype)
        start += size + -size % ALIGNMENT
    if start != len(body):
        raise ValueError(f"{len(body) - start} bytes after the last array")
    return tensors


def _objects(name: str, shape: tuple[int, ...], values: list[Any]) -> np.ndarray[Any, Any]:
    if math.prod(shape) != len(values) or min(shape, default=0) < 0:
        raise ValueError(f"{name}: {len(values)} values for the shape {shape}")
    plain = (_tuples(value) if type(value) is list else value for value in values)
    return np.fromiter(plain, dtype=object, count=len(values)).reshape(shape)


def _tuples(values: list[Any]) -> tuple[Any, ...]:
    return tuple(_tuples(value) if type(value) is list else value for value in values)


@lru_cache(maxsize=1024)
def _dtype(code: str) -> np.dtype[Any] | None:
    """None for a type whose arrays are not sent."""
    return np.dtype(code) if _KNOWN.fullmatch(code) else None

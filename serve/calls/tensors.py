"""Named arrays as the body of a frame: a description of them in MessagePack, then each one at a multiple of 8 bytes.

No pickle: what comes over the wire can only become arrays of numbers, of text, or of plain values. Arrays of numbers
and of fixed-width text are where they arrived, not copied. An array of objects is a list of its values in MessagePack,
its length in 4 bytes before it; sequences among them come as tuples.
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

_Description = tuple[str, str, tuple[int, ...]]  # name, NumPy's own code of the type, shape
_descriptions = msgspec.msgpack.Decoder(list[_Description])
_values = msgspec.msgpack.Decoder(list[Any])
_Planned = tuple[str, np.dtype[Any] | None, tuple[int, ...], int]  # name, type or None for objects, shape, bytes


def body_of(tensors: Tensors) -> Body:
    """Raises `AttuneError` for arrays that cannot be sent."""
    descriptions: list[_Description] = []
    pieces: list[bytes] = [b""]
    for name, array in tensors.items():
        code = OBJECTS if array.dtype.kind == OBJECTS else array.dtype.str
        descriptions.append((name, code, array.shape))
        if code == OBJECTS:
            try:
                pieces.append(packed(array.ravel().tolist()))
            except (TypeError, ValueError, OverflowError) as error:
                raise AttuneError(f"{name}: an array of objects cannot be sent: {error}") from error
        elif _dtype(code) is None:
            raise AttuneError(f"{name}: arrays of {array.dtype} cannot be sent")
        elif size := array.nbytes:
            pieces.append(array.tobytes())
            if size % ALIGNMENT:
                pieces.append(padding(size))
    pieces[0] = packed(descriptions)
    return pieces


def tensors_of(body: memoryview) -> Tensors:
    """The arrays, in the memory of the body. Raises `ValueError` or `msgspec.MsgspecError` for nonsense."""
    description, start = unpacked(body)
    tensors: Tensors = {}
    for name, dtype, shape, size in _planned(bytes(description)):
        if dtype is None:
            values, taken = unpacked(body[start:])
            tensors[name] = _objects(name, shape, _values.decode(values))
            start += taken
            continue
        if start + size > len(body):
            raise ValueError(f"{name}: {shape} of {dtype} does not fit in a body of {len(body)} bytes")
        tensors[name] = np.ndarray(shape, dtype, body, start) if size else np.zeros(shape, dtype)
        start += size + -size % ALIGNMENT
    if start != len(body):
        raise ValueError(f"{len(body) - start} bytes after the last array")
    return tensors


@lru_cache(maxsize=1024)  # batches of one size look alike
def _planned(description: bytes) -> list[_Planned]:
    plan: list[_Planned] = []
    for name, code, shape in _descriptions.decode(description):
        dtype = None if code == OBJECTS else _dtype(code)
        if dtype is None and code != OBJECTS:
            raise ValueError(f"{name}: {code!r} is no type of arrays that are sent")
        if min(shape, default=0) < 0:
            raise ValueError(f"{name}: {shape} is no shape of an array")
        plan.append((name, dtype, shape, math.prod(shape) * (dtype.itemsize if dtype else 0)))
    return plan


def _objects(name: str, shape: tuple[int, ...], values: list[Any]) -> np.ndarray[Any, Any]:
    if math.prod(shape) != len(values):
        raise ValueError(f"{name}: {len(values)} values for the shape {shape}")
    plain = [_tuples(value) if type(value) is list else value for value in values]
    return np.fromiter(plain, dtype=object, count=len(plain)).reshape(shape)


def _tuples(values: list[Any]) -> tuple[Any, ...]:
    return tuple(_tuples(value) if type(value) is list else value for value in values)


@lru_cache(maxsize=1024)
def _dtype(code: str) -> np.dtype[Any] | None:
    """None for a type whose arrays are not sent."""
    return np.dtype(code) if _KNOWN.fullmatch(code) else None

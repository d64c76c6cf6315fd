"""The Open Inference Protocol's datatypes as NumPy arrays, from and to its JSON and binary forms."""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from serve.oip.errors import InvalidInput

Array = np.ndarray[Any, Any]
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}
BINARY_ONLY = ("FP16", "BF16")  # JSON numbers cannot say them exactly: Triton takes them as binary data alone
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_LENGTH = struct.Struct("<I")


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's dtype; strings of any kind are BYTES."""
    return "BYTES" if array.dtype.kind in "SU" else _NAMES[array.dtype]


def dtype_of(name: str, datatype: str) -> np.dtype[Any]:
    """Raises `InvalidInput` for a datatype that the protocol does not have."""
    if datatype not in DATATYPES:
        raise InvalidInput(f"inference input '{name}' has an unknown datatype '{datatype}'")
    return DATATYPES[datatype]


def from_binary(name: str, datatype: str, shape: Sequence[int], raw: memoryview) -> Array:
    """The array in `raw` (little-endian, row-major); a view of it, not a copy, except of BYTES.

    Raises `InvalidInput` when `raw` does not hold exactly this shape.
    """
    dtype, count = dtype_of(name, datatype), _count(name, shape)
    if datatype == "BYTES":
        return _strings_in(name, raw, count).reshape(shape)
    if len(raw) != count * dtype.itemsize:
        raise InvalidInput(
            f"input byte size mismatch for input '{name}'. Expected {count * dtype.itemsize}, got {len(raw)}"
        )
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> Array:
    """The array in JSON `data`: nested or flat lists, row-major. Raises `InvalidInput` when it does not fit."""
    dtype, count = dtype_of(name, datatype), _count(name, shape)
    if datatype in BINARY_ONLY:
        raise InvalidInput(f"receiving {datatype} data via JSON not supported. Please use the binary data format")
    if not isinstance(data, list):
        raise InvalidInput(f"unable to parse 'data' of input '{name}': a list is expected")
    flat = _flat(data)
    if len(flat) != count:
        raise InvalidInput(
            f"unable to parse 'data' of input '{name}': shape {list(shape)} holds {count} elements, got {len(flat)}"
        )
    return _typed(name, datatype, dtype, flat).reshape(shape)


def to_binary(array: Array) -> bytes:
    """The protocol's binary form of an array."""
    if datatype_of(array) != "BYTES":
        return np.ascontiguousarray(array).tobytes()
    parts = []
    for element in array.ravel().tolist():
        raw = as_bytes(element)
        parts += [_LENGTH.pack(len(raw)), raw]
    return b"".join(parts)


def to_json(name: str, array: Array) -> Array | list[str]:
    """Row-major and flat, for a writer that knows NumPy. Raises `InvalidInput` for what JSON cannot say."""
    datatype = datatype_of(array)
    if datatype in BINARY_ONLY:
        raise InvalidInput(f"sending {datatype} data of output '{name}' via JSON not supported. Please ask for binary")
    if datatype != "BYTES":
        return np.ascontiguousarray(array).ravel()
    try:
        return [as_bytes(element).decode() for element in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"output '{name}' is not UTF-8 text. Please ask for binary") from error


def as_bytes(element: Any) -> bytes:
    """One element of a BYTES array as bytes; text as UTF-8."""
    return element if isinstance(element, bytes) else str(element).encode()


def texts(name: str, array: Array) -> list[str]:
    """The elements of a BYTES array as text. Raises `InvalidInput` naming an input that is not UTF-8."""
    try:
        return [element if isinstance(element, str) else bytes(element).decode() for element in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"inference input '{name}' is not UTF-8 text") from error


def _count(name: str, shape: Sequence[int]) -> int:
    if any(size < 0 for size in shape):
        raise InvalidInput(f"inference input '{name}' has a negative size in its shape {list(shape)}")
    return prod(shape)


def _strings_in(name: str, raw: memoryview, count: int) -> npt.NDArray[np.object_]:
    found = np.empty(count, dtype=object)
    at = 0
    for number in range(count):
        if at + 4 > len(raw):
            raise InvalidInput(f"input '{name}': incomplete string length, {number} of {count} elements read")
        (length,) = _LENGTH.unpack_from(raw, at)
        at += 4
        if at + length > len(raw):
            raise InvalidInput(f"input '{name}': element {number} is {length} bytes long, {len(raw) - at} are left")
        found[number] = bytes(raw[at : at + length])
        at += length
    if at != len(raw):
        raise InvalidInput(f"input '{name}': {len(raw) - at} bytes more than its {count} elements need")
    return found


def _flat(data: list[Any]) -> list[Any]:
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            break
        data = [element for row in data for element in row]
    return data


def _typed(name: str, datatype: str, dtype: np.dtype[Any], flat: list[Any]) -> Array:
    """Numbers are not rounded into integers, nor taken for truth values, nor text for numbers; null is NaN."""
    if dtype.kind == "f":
        flat = [np.nan if element is None else element for element in flat]  # as such values leave in JSON
    wanted = {"BYTES": (str,), "BOOL": (bool,)}.get(datatype, (int, float) if dtype.kind == "f" else (int,))
    for element in flat:
        if not isinstance(element, wanted) or (isinstance(element, bool) and datatype != "BOOL"):
            raise InvalidInput(f"unable to parse 'data' of input '{name}': {element!r:.60} is no {datatype}")
    if datatype == "BYTES":
        strings = np.empty(len(flat), dtype=object)
        strings[:] = [element.encode() for element in flat]
        return strings
    try:
        with np.errstate(over="raise"):
            return np.array(flat, dtype=dtype)
    except (OverflowError, FloatingPointError) as error:
        raise InvalidInput(f"unable to parse 'data' of input '{name}': out of range for {datatype}") from error

"""Tensors of every datatype survive both forms of the protocol, and what does not fit is refused by name."""

import struct

import numpy as np
import pytest

from serve.oip.datatypes import (
    BINARY_ONLY,
    DATATYPES,
    Array,
    datatype_of,
    from_binary,
    from_json,
    texts,
    to_binary,
    to_json,
)
from serve.oip.errors import InvalidInput

VALUES = {"BOOL": [True, False, True, True], "BYTES": [b"a", "汉".encode(), b"", b"\x00\xff"]}


def sample(datatype: str) -> Array:
    array = np.empty((2, 2), dtype=DATATYPES[datatype])
    array.ravel()[:] = VALUES.get(datatype, [0, 1, 2, 100])
    return array


@pytest.mark.parametrize("datatype", DATATYPES)
def test_binary_there_and_back(datatype: str) -> None:
    array = sample(datatype)
    again = from_binary("x", datatype, [2, 2], memoryview(to_binary(array)))
    assert datatype_of(again) == datatype
    assert again.tolist() == array.tolist()


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name not in (*BINARY_ONLY, "BYTES")])
def test_json_there_and_back(datatype: str) -> None:
    array = sample(datatype)
    flat = np.asarray(to_json("x", array)).tolist()
    again = from_json("x", datatype, [2, 2], flat)
    assert again.dtype == array.dtype
    assert again.tolist() == from_json("x", datatype, [2, 2], array.tolist()).tolist() == array.tolist()


def test_lengths_are_little_endian() -> None:
    assert to_binary(np.array([b"ab"], dtype=object)) == struct.pack("<I", 2) + b"ab"


def test_numbers_come_in_without_a_copy() -> None:
    raw = np.arange(4, dtype=np.float32).tobytes()
    array = from_binary("x", "FP32", [4], memoryview(raw))
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_text_is_utf8_and_anything_else_is_refused_in_json() -> None:
    assert texts("x", from_json("x", "BYTES", [2], ["汉", ""])) == ["汉", ""]
    with pytest.raises(InvalidInput, match="'x' is not UTF-8"):
        texts("x", sample("BYTES"))
    with pytest.raises(InvalidInput, match="'x' is not UTF-8"):
        to_json("x", sample("BYTES"))


@pytest.mark.parametrize("datatype", BINARY_ONLY)
def test_what_json_cannot_say_exactly_is_refused(datatype: str) -> None:
    with pytest.raises(InvalidInput, match="via JSON not supported"):
        from_json("x", datatype, [1], [1.0])
    with pytest.raises(InvalidInput, match="via JSON not supported"):
        to_json("x", sample(datatype))


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP31", [1], [1], "unknown datatype 'FP31'"),
        ("INT8", [1], [300], "out of range for INT8"),
        ("FP32", [1], [1e39], "out of range for FP32"),
        ("INT32", [1], [1.5], "1.5 is no INT32"),
        ("INT32", [1], [True], "True is no INT32"),
        ("BOOL", [1], [1], "1 is no BOOL"),
        ("BYTES", [1], [1], "1 is no BYTES"),
        ("FP32", [1], ["1"], "'1' is no FP32"),
        ("FP32", [2], [1.0], "holds 2 elements, got 1"),
        ("FP32", [-1], [1.0], "negative size"),
        ("FP32", [1], 1.0, "a list is expected"),
        ("FP32", [2], [[1.0], 2.0], "holds|is no FP32"),
    ],
)
def test_bad_json_data_is_refused(datatype: str, shape: list[int], data: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        from_json("x", datatype, shape, data)


@pytest.mark.parametrize(
    ("datatype", "raw", "message"),
    [
        ("FP32", b"123", "Expected 8, got 3"),
        ("BYTES", b"\x01\x00\x00", "incomplete string length, 0 of 2"),
        ("BYTES", b"\x05\x00\x00\x00ab", "element 0 is 5 bytes long, 2 are left"),
        ("BYTES", b"\x00\x00\x00\x00\x00\x00\x00\x00x", "1 bytes more"),
    ],
)
def test_bad_binary_data_is_refused(datatype: str, raw: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        from_binary("x", datatype, [2], memoryview(raw))

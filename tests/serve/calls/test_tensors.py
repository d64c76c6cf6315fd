"""Arrays come as they were sent, in memory that is the receiver's, and nothing else comes."""

import pickle
from typing import Any

import numpy as np
import pytest

from interest.batch import Tensors
from interest.errors import AttuneError
from serve.calls.tensors import body_of, tensors_of
from serve.calls.wire import packed

ALL_TYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", ">i4", ">f8"]


def sent(tensors: Tensors) -> Tensors:
    return tensors_of(memoryview(bytearray(b"".join(body_of(tensors)))))


def objects(*values: Any) -> np.ndarray[Any, Any]:
    return np.fromiter(values, dtype=object, count=len(values))


@pytest.mark.parametrize("code", ALL_TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 4), (3, 1, 5)])
def test_arrays_of_every_type_and_shape(code: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(code)
    found = sent({"before": np.ones(3, np.int8), "it": array, "after": np.ones(1)})
    assert list(found) == ["before", "it", "after"]
    assert (found["it"].dtype, found["it"].shape) == (array.dtype, shape)
    np.testing.assert_array_equal(found["it"], array)
    assert found["it"].flags.aligned
    assert found["it"].flags.writeable


def test_text_bytes_and_special_numbers() -> None:
    tensors = {
        "words": np.array(["", "naïve", "推荐"]),
        "bytes": np.array([b"", b"a\xff"]),
        "numbers": np.array([np.nan, -np.inf, 5e-324]),
    }
    found = sent(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_objects_are_plain_values_and_tuples_of_them() -> None:
    interests = (("genre", "jazz", 0.25, True), ())
    values = ["user", "", b"\x00json", None, 3, 2.5, interests]
    found = sent({"it": objects(*values), "table": np.array([["a", "b"], ["c", ""]], dtype=object)})
    assert found["it"].tolist() == values
    assert found["table"].tolist() == [["a", "b"], ["c", ""]]
    assert found["it"].dtype == object
    assert sent({"it": objects(np.str_("a"), np.float32(0.5))})["it"].tolist() == ["a", 0.5]


def test_arrays_that_are_not_contiguous_come_whole() -> None:
    whole = np.arange(24.0).reshape(4, 6)
    found = sent({"part": whole[::2, 1::3], "turned": whole.T, "same": np.broadcast_to(whole[0], (3, 6))})
    np.testing.assert_array_equal(found["part"], whole[::2, 1::3])
    np.testing.assert_array_equal(found["turned"], whole.T)
    np.testing.assert_array_equal(found["same"], [whole[0]] * 3)


def test_arrays_are_not_copied() -> None:
    body = bytearray(b"".join(body_of({"it": np.arange(4)})))
    found = tensors_of(memoryview(body))["it"]
    found[0] = 7
    assert (7).to_bytes(8, "little") in body


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.array(["2026-01-01"], dtype="datetime64[D]"), "it: arrays of datetime64"),
        (np.zeros(1, dtype=[("a", "i4")]), "it: arrays of"),
        (np.zeros(1, dtype=np.longdouble), "it: arrays of"),
        (objects(object()), "object is no plain value"),
        (objects(2**70), "objects"),
    ],
)
def test_what_cannot_be_sent_is_told_to_who_sends_it(array: np.ndarray[Any, Any], complaint: str) -> None:
    with pytest.raises(AttuneError, match=complaint):
        body_of({"it": array})


@pytest.mark.parametrize(
    ("described", "complaint"),
    [
        ([("it", "|O8", (1,))], "no type of arrays"),
        ([("it", "<M8[s]", (1,))], "no type of arrays"),
        ([("it", "<f8", (9,))], "does not fit"),
        ([("it", "<f8", (2**62, 2**62))], "does not fit"),
        ([("it", "<f8", (-1,))], "no shape"),
        ([("it", "<f8", (-1, -1))], "no shape"),
        ([("it", "O", (2,))], "1 values for the shape"),
        ([("it", "O", (-1, -1))], "no shape"),
        ([("it", "O", (1,)), ("more", "O", (1,))], "without a beginning"),
        ([("it", "<f8")], "length"),
        ({"it": 1}, "array"),
        (pickle.dumps({"it": 1}), "array"),
    ],
)
def test_nonsense_is_refused(described: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        tensors_of(memoryview(bytearray(packed(described) + packed(["a"]))))


def test_bytes_after_the_last_array_are_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes after the last array"):
        tensors_of(memoryview(bytearray(b"".join(body_of({})) + bytes(8))))

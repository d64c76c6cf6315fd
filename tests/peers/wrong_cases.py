"""The requests of the differential test that something is wrong with: tensors, JSON, binary data."""

import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.peers.cases import HEADER_LENGTH, JSON_TYPES, Case, array_of, as_binary, as_json, infer
from tests.peers.models import BATCH

BODIES = (
    *(b"", b"{", b"nonsense", b"[]", b"null", b"7", b'"text"', b"{}"),
    *(b'{"inputs": [', b"\xff\xfe", b"{'a': 1}"),
)
NO_LISTS: tuple[Any, ...] = ("text", {}, None, 5, [5], ["text"], [None], [[]])
NO_FIELDS: tuple[Any, ...] = (None, 5, {"a": 1}, [], "", "text", ["text"], [1.5, 2], [-1, 2], True)
NO_PARAMETERS: tuple[Any, ...] = (None, 5, "text", [], {"binary_data_size": None})
NO_FLAGS: tuple[Any, ...] = ("yes", 1, None, [])
VALUES: tuple[tuple[Any, ...], ...] = (
    *(("text", "more"), (1, 2), (1.5, 2.0), (True, False)),
    *((None, None), ({}, {}), (1, "text")),
)
OUT_OF_RANGE = (("INT8", 128), ("UINT8", 256), ("UINT8", -1), ("INT32", 2**31), ("INT64", 2**63))
WRONG_BYTES = (
    ("length beyond the end", struct.pack("<I", 100) + b"abc"),
    ("no room for a length", b"\x01\x00"),
    ("one element too many", 2 * (struct.pack("<I", 3) + b"abc")),
    ("nothing", b""),
)


def wrong_cases() -> list[Case]:
    """All of them; names are unique within a kind."""
    return [*_wrong_tensors(), *_wrong_json(), *_wrong_data(), *_wrong_binary(), *_wrong_flags()]


def _wrong_tensors() -> Iterator[Case]:
    for datatype in JSON_TYPES:
        for other in JSON_TYPES:
            if other != datatype:
                described, raw = as_binary("IN", other, array_of(other, (1, 2)))
                model = f"same_{datatype.lower()}"
                yield infer("another datatype", f"{other} for {datatype}", model, {"inputs": [described]}, raw)
    for shape in ((3,), (1, 2, 3), (0, 3), (BATCH + 1, 1), (2 * BATCH, 2), ()):
        for datatype in ("FP32", "INT64", "BYTES", "BOOL"):
            body = {"inputs": [as_json("IN", datatype, array_of(datatype, shape))]}
            yield infer("a shape other than [-1, -1]", f"{list(shape)} {datatype}", f"same_{datatype.lower()}", body)
    for shape in ((1, 3, 2), (1, 2), (BATCH + 1, 2, 1)):
        yield infer(
            "a shape other than [-1, 2, -1]",
            str(list(shape)),
            "table",
            {"inputs": [as_json("IN", "FP32", array_of("FP32", shape))]},
        )
    for shape in ((2,), (1, 3), (4,)):
        yield infer(
            "a shape other than [3]",
            str(list(shape)),
            "single",
            {"inputs": [as_json("IN", "FP32", array_of("FP32", shape))]},
        )
    a, b = as_json("A", "INT64", array_of("INT64", (2, 4))), as_json("B", "INT64", array_of("INT64", (2, 4)))
    short = as_json("B", "INT64", array_of("INT64", (1, 4)))
    plain = as_json("IN", "FP32", array_of("FP32", (1, 2)))
    yield infer("batches of two inputs differ", "add", "add", {"inputs": [a, short]})
    yield infer("an input is missing", "B", "add", {"inputs": [a]})
    yield infer("an input is missing", "both", "add", {"inputs": []})
    yield infer("an input too many", "C", "add", {"inputs": [a, b, {**b, "name": "C"}]})
    yield infer("an input too many", "IN2", "same_fp32", {"inputs": [plain, {**plain, "name": "IN2"}]})
    yield infer("an unknown input", "in", "same_fp32", {"inputs": [{**plain, "name": "in"}]})
    yield infer("an input twice", "IN", "same_fp32", {"inputs": [plain, plain]})
    for name in ("NONE", "out", ""):
        yield infer("an unknown output", name or "empty", "same_fp32", {"inputs": [plain], "outputs": [{"name": name}]})


def _wrong_json() -> Iterator[Case]:
    for text in BODIES:
        yield infer("a body that is no request", repr(text), "same_fp32", text)
    good = as_json("IN", "FP32", array_of("FP32", (1, 2)))
    body: dict[str, Any]
    for wrong in NO_LISTS:
        yield infer("inputs that are none", json.dumps(wrong), "same_fp32", {"inputs": wrong})
        body = {"inputs": [good], "outputs": wrong}
        yield infer("outputs that are none", json.dumps(wrong), "same_fp32", body)
    for key in ("name", "shape", "datatype", "data"):
        body = {"inputs": [{other: value for other, value in good.items() if other != key}]}
        yield infer(f"an input without {key}", key, "same_fp32", body)
        for wrong in NO_FIELDS:
            body = {"inputs": [{**good, key: wrong}]}
            yield infer(f"an input whose {key} is none", json.dumps(wrong), "same_fp32", body)
    for wrong in NO_PARAMETERS:
        body = {"inputs": [{**good, "parameters": wrong}]}
        yield infer("parameters of an input that are none", json.dumps(wrong), "same_fp32", body)
        body = {"inputs": [good], "outputs": [{"name": "OUT", "parameters": wrong}]}
        yield infer("parameters of an output that are none", json.dumps(wrong), "same_fp32", body)
    yield infer("an output without name", "none", "same_fp32", {"inputs": [good], "outputs": [{}]})
    yield infer("unknown keys", "beside inputs", "same_fp32", {"inputs": [{**good, "more": 1}], "more": {"a": []}})
    shared = {"shared_memory_region": "none", "shared_memory_byte_size": 8}
    body = {"inputs": [{**good, "parameters": shared}]}
    yield infer("shared memory that nobody has registered", "input", "same_fp32", body)
    body = {"inputs": [good], "outputs": [{"name": "OUT", "parameters": shared}]}
    yield infer("shared memory that nobody has registered", "output", "same_fp32", body)


def _wrong_data() -> Iterator[Case]:
    def data(datatype: str, *values: Any) -> dict[str, Any]:
        return {"inputs": [{"name": "IN", "datatype": datatype, "shape": [1, len(values)], "data": list(values)}]}

    for datatype in JSON_TYPES:
        model = f"same_{datatype.lower()}"
        for values in VALUES:
            yield infer(f"data of all kinds as {datatype}", json.dumps(values), model, data(datatype, *values))
        few = data(datatype, *as_json("IN", datatype, array_of(datatype, (1, 3)))["data"])
        few["inputs"][0]["shape"] = [1, 4]
        yield infer("fewer elements than the shape", datatype, model, few)
        few["inputs"][0]["shape"] = [1, 2]
        yield infer("more elements than the shape", datatype, model, few)
    for datatype, number in OUT_OF_RANGE:
        name = f"{number} as {datatype}"
        yield infer("out of range", name, f"same_{datatype.lower()}", data(datatype, number))
    for large in (1e39, -1e39):
        yield infer("beyond FP32 in JSON", str(large), "same_fp32", data("FP32", large))
    half = {"name": "IN", "datatype": "FP16", "shape": [1, 1], "data": [1.0]}
    yield infer("FP16 in JSON", "in", "same_fp16", {"inputs": [half]})
    described, raw = as_binary("IN", "FP16", array_of("FP16", (1, 1)))
    yield infer("FP16 in a JSON answer", "out", "same_fp16", {"inputs": [described]}, raw)
    ragged = {"name": "IN", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2, 3], [4]]}
    yield infer("nested lists of other lengths", "FP32", "same_fp32", {"inputs": [ragged]})
    deep = {"name": "IN", "datatype": "FP32", "shape": [1, 2], "data": [[[[1]], [[2]]]]}
    yield infer("deeper lists than the shape", "FP32", "same_fp32", {"inputs": [deep]})


def _wrong_binary() -> Iterator[Case]:
    array = array_of("FP32", (1, 2))
    described, raw = as_binary("IN", "FP32", array)
    body = {"inputs": [described]}
    yield infer("binary data too short", "4 of 8", "same_fp32", body, raw[:4])
    yield infer("binary data too short", "nothing", "same_fp32", body, b"")
    yield infer("binary data left over", "12 of 8", "same_fp32", body, raw + raw[:4])
    for size in (0, 4, 12, -8, 2**40, "8", 8.0, True, None):
        one = {**described, "parameters": {"binary_data_size": size}}
        yield infer("binary_data_size other than 8", json.dumps(size), "same_fp32", {"inputs": [one]}, raw)
    for value in ("-1", "100000", "text", "1.5", "", "0"):
        case = infer(f"another {HEADER_LENGTH}", repr(value), "same_fp32", body, raw)
        yield Case(case.kind, case.name, case.path, case.body, {HEADER_LENGTH: value})
    case = infer("binary data without its header", "FP32", "same_fp32", body, raw)
    yield Case(case.kind, case.name, case.path, case.body)
    whole = {"inputs": [as_json("IN", "FP32", array)]}
    yield infer("a header length of the whole body", "JSON", "same_fp32", whole, b"")
    both = {**described, "data": [1.0, 2.0]}
    yield infer("data in JSON and in binary", "FP32", "same_fp32", {"inputs": [both]}, raw)
    words, _ = as_binary("IN", "BYTES", array_of("BYTES", (1, 1)))
    for name, wrong in WRONG_BYTES:
        one = {**words, "parameters": {"binary_data_size": len(wrong)}}
        yield infer("BYTES in binary", name, "same_bytes", {"inputs": [one]}, wrong)
    flags, _ = as_binary("IN", "BOOL", array_of("BOOL", (1, 2)))
    asked = {"inputs": [flags], "parameters": {"binary_data_output": True}}
    yield infer("BOOL bytes above 1", "2 and 255", "same_bool", asked, b"\x02\xff")


def _wrong_flags() -> Iterator[Case]:
    plain = as_json("IN", "FP32", array_of("FP32", (1, 2)))
    for wrong in NO_FLAGS:
        kind = "binary_data that is no flag"
        outputs = [{"name": "OUT", "parameters": {"binary_data": wrong}}]
        yield infer(kind, f"binary_data {json.dumps(wrong)}", "same_fp32", {"inputs": [plain], "outputs": outputs})
        body = {"inputs": [plain], "parameters": {"binary_data_output": wrong}}
        yield infer(kind, f"binary_data_output {json.dumps(wrong)}", "same_fp32", body)

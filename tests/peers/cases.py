"""The requests of the differential test, each with a name and a kind: what they are made of, and the valid ones."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serve.oip.datatypes import DATATYPES, to_binary
from tests.peers.models import BATCH, SAME

HEADER_LENGTH = "Inference-Header-Content-Length"
SHAPES = ((1, 1), (1, 4), (3, 2), (BATCH, 5), (2, 0))
JSON_TYPES = tuple(datatype for datatype in SAME if datatype != "FP16")
WRONG_IDS: tuple[Any, ...] = (7, None, ["a"], {"a": 1}, True)
WRONG_PARAMETERS: tuple[Any, ...] = ({"mine": None}, {"mine": [1]}, {"mine": {"a": 1}}, [], "text", 3, None)
WRONG_LIMITS: tuple[tuple[str, Any], ...] = (
    ("priority", "high"),
    ("priority", -1),
    ("timeout", "soon"),
    ("timeout", -1),
    ("timeout", 1.5),
)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One HTTP request. `kind`: what is special about it, in words; several cases may share it."""

    kind: str
    name: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


def valid_cases() -> list[Case]:
    """Those that a client could mean, and some beside them; names are unique within a kind."""
    return [*_valid(), *_classified(), *_addressed(), *_pages()]


def array_of(datatype: str, shape: Sequence[int], seed: int = 0) -> Array:
    """Some values of a datatype, the same for the same seed."""
    rng = np.random.default_rng([seed, *shape])
    if datatype == "BYTES":
        words = np.empty(int(np.prod(shape)), dtype=object)
        words[:] = [f"word {number} {'äß漢'[number % 3]}".encode() for number in range(words.size)]
        return words.reshape(shape)
    dtype = DATATYPES[datatype]
    if datatype == "BOOL":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def as_json(name: str, datatype: str, array: Array, nested: bool = False, **more: Any) -> dict[str, Any]:
    """A tensor with its data in JSON."""
    plain = array if datatype != "BYTES" else np.vectorize(bytes.decode, otypes=[object])(array)
    data = plain.tolist() if nested else plain.ravel().tolist()
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": data, **more}


def as_binary(name: str, datatype: str, array: Array, **more: Any) -> tuple[dict[str, Any], bytes]:
    """A tensor with its data behind the JSON."""
    raw = to_binary(array)
    parameters = {"binary_data_size": len(raw)}
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "parameters": parameters, **more}, raw


def infer(kind: str, name: str, model: str, body: Any, binary: bytes | None = None, version: str = "") -> Case:
    """A request for an inference; with `binary` behind the JSON and its length in the header."""
    head = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if binary is None else {HEADER_LENGTH: str(len(head))}
    path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"
    return Case(kind, name, path, head + (binary or b""), headers)


def _valid() -> Iterator[Case]:
    for number, (datatype, shape) in enumerate((datatype, shape) for datatype in SAME for shape in SHAPES):
        model, label = f"same_{datatype.lower()}", f"{datatype} {list(shape)}"
        array = array_of(datatype, shape)
        described, raw = as_binary("IN", datatype, array)
        outputs = [{"name": "OUT", "parameters": {"binary_data": True}}]
        everything = {"binary_data_output": True}
        yield infer("binary both ways", f"binary {label}", model, {"inputs": [described], "outputs": outputs}, raw)
        body = {"id": f"request {number}", "inputs": [described], "parameters": everything}
        yield infer("binary by the request's parameter", f"binary output {label}", model, body, raw)
        if datatype in JSON_TYPES:
            plain = as_json("IN", datatype, array)
            yield infer("JSON both ways", f"JSON {label}", model, {"inputs": [plain], "id": "é1"})
            nested = as_json("IN", datatype, array, nested=True)
            yield infer("nested JSON", f"nested {label}", model, {"inputs": [nested], "outputs": [{"name": "OUT"}]})
            yield infer("JSON in, binary out", f"in {label}", model, {"inputs": [plain], "outputs": outputs})
            yield infer("binary in, JSON out", f"out {label}", model, {"inputs": [described]}, raw)
    yield from _added()


def _added() -> Iterator[Case]:
    a, b = array_of("INT64", (2, 4), 1) // 2, array_of("INT64", (2, 4), 2) // 2
    plain_a, plain_b = as_json("A", "INT64", a), as_json("B", "INT64", b)
    (binary_a, raw_a), (binary_b, raw_b) = as_binary("A", "INT64", a), as_binary("B", "INT64", b)
    yield infer("two inputs", "JSON", "add", {"inputs": [plain_a, plain_b]})
    yield infer("two inputs", "in the other order", "add", {"inputs": [plain_b, plain_a]})
    yield infer("two inputs", "binary", "add", {"inputs": [binary_a, binary_b]}, raw_a + raw_b)
    yield infer("two inputs", "first binary", "add", {"inputs": [binary_a, plain_b]}, raw_a)
    yield infer("two inputs", "second binary", "add", {"inputs": [plain_a, binary_b]}, raw_b)
    for names in (["SUM"], ["DIFFERENCE"], ["DIFFERENCE", "SUM"], ["SUM", "DIFFERENCE"]):
        outputs = [{"name": name} for name in names]
        yield infer("some outputs", " ".join(names), "add", {"inputs": [plain_a, plain_b], "outputs": outputs})
    mixed = [{"name": "SUM", "parameters": {"binary_data": True}}, {"name": "DIFFERENCE"}]
    yield infer("one output binary", "SUM", "add", {"inputs": [plain_a, plain_b], "outputs": mixed})
    wanted = [{"name": "SUM", "parameters": {"binary_data": False}}, {"name": "DIFFERENCE"}]
    body = {"inputs": [plain_a, plain_b], "outputs": wanted, "parameters": {"binary_data_output": True}}
    yield infer("one output binary", "all but SUM", "add", body)
    twice = [{"name": "SUM"}, {"name": "SUM"}]
    yield infer("an output twice", "SUM", "add", {"inputs": [plain_a, plain_b], "outputs": twice})
    yield infer("no outputs named", "empty list", "add", {"inputs": [plain_a, plain_b], "outputs": []})
    table = as_json("IN", "FP32", array_of("FP32", (3, 2, 4)))
    yield infer("more dims", "table", "table", {"inputs": [table]})
    yield infer("no batch", "single", "single", {"inputs": [as_json("IN", "FP32", array_of("FP32", (3,)))]})
    yield from _special_values()


def _special_values() -> Iterator[Case]:
    numbers = np.array([[np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4028235e38, 0.1]], dtype=np.float32)
    described, raw = as_binary("IN", "FP32", numbers)
    binary = {"inputs": [described], "parameters": {"binary_data_output": True}}
    yield infer("special values, binary", "NaN and infinities", "same_fp32", binary, raw)
    yield infer("NaN in a JSON answer", "NaN and infinities", "same_fp32", {"inputs": [described]}, raw)
    for datatype in ("INT8", "INT32", "INT64", "UINT8", "UINT64"):
        limits = np.iinfo(DATATYPES[datatype])
        edge = np.array([[limits.min, limits.max, 0]], dtype=DATATYPES[datatype])
        model = f"same_{datatype.lower()}"
        yield infer("least and largest", datatype, model, {"inputs": [as_json("IN", datatype, edge)]})
    words = np.empty((1, 4), dtype=object)
    words[0] = [b"", "漢字 \U0001f600".encode(), b'"quoted" \\ \n\t', b"x" * 3000]
    yield infer("special strings", "JSON", "same_bytes", {"inputs": [as_json("IN", "BYTES", words)]})
    described, raw = as_binary("IN", "BYTES", words)
    yield infer("special strings", "binary to JSON", "same_bytes", {"inputs": [described]}, raw)
    words[0, 0] = b"\xff\xfe\x00"
    described, raw = as_binary("IN", "BYTES", words)
    binary = {"inputs": [described], "parameters": {"binary_data_output": True}}
    yield infer("bytes that are no text, binary", "both ways", "same_bytes", binary, raw)
    yield infer("bytes that are no text, JSON", "to JSON", "same_bytes", {"inputs": [described]}, raw)


def _classified() -> Iterator[Case]:
    outputs: list[Any]
    for datatype in ("FP32", "FP64", "INT64", "INT32", "INT8", "UINT8", "UINT64"):
        array = array_of(datatype, (2, 5), 3)
        for classes in (1, 3, 99):
            outputs = [{"name": "OUT", "parameters": {"classification": classes}}]
            body = {"inputs": [as_json("IN", datatype, array)], "outputs": outputs}
            yield infer("classification", f"{datatype} {classes}", f"same_{datatype.lower()}", body)
        outputs = [{"name": "OUT", "parameters": {"classification": 2, "binary_data": True}}]
        body = {"inputs": [as_json("IN", datatype, array)], "outputs": outputs}
        yield infer("classification in binary", datatype, f"same_{datatype.lower()}", body)
    ties = np.array([[1.0, 2.0, 2.0, 1.0]], dtype=np.float32)
    outputs = [{"name": "OUT", "parameters": {"classification": 4}}]
    body = {"inputs": [as_json("IN", "FP32", ties)], "outputs": outputs}
    yield infer("classification of ties", "FP32", "same_fp32", body)
    body = {"inputs": [as_json("IN", "FP32", array_of("FP32", (3,)))], "outputs": outputs}
    yield infer("classification without a batch", "single", "single", body)
    for datatype in ("BYTES", "BOOL"):
        body = {"inputs": [as_json("IN", datatype, array_of(datatype, (1, 3)))], "outputs": outputs}
        yield infer(f"classification of {datatype}", datatype, f"same_{datatype.lower()}", body)
    plain = as_json("IN", "FP32", array_of("FP32", (1, 3)))
    for wrong in (-1, 0, "2", True, 1.5):
        outputs = [{"name": "OUT", "parameters": {"classification": wrong}}]
        body = {"inputs": [plain], "outputs": outputs}
        yield infer("classification by no number of classes", json.dumps(wrong), "same_fp32", body)


def _addressed() -> Iterator[Case]:
    body = {"inputs": [as_json("IN", "FP32", array_of("FP32", (1, 3)))]}
    yield infer("a version by name", "1", "same_fp32", body, version="1")
    for version in ("2", "99", "0", "-1", "one", "1.0"):
        yield infer("an unknown version", version, "same_fp32", body, version=version)
    for model in ("unknown", "same_FP32", "same_fp32x", "%20", "same_fp32%2F"):
        yield infer("an unknown model", model, model, body)
        yield infer("an unknown model", f"{model} version 1", model, body, version="1")
    for number, identifier in enumerate(("1", "", "ü漢", 'a"b', "x" * 500)):
        yield infer("the id comes back", str(number), "same_fp32", {**body, "id": identifier})
    for wrong in WRONG_IDS:
        yield infer("an id that is no text", json.dumps(wrong), "same_fp32", {**body, "id": wrong})
    for number, parameters in enumerate(
        ({"mine": "yes"}, {"mine": 1}, {"mine": True}, {"mine": -2.5}, {"priority": 1}, {"timeout": 5_000_000}, {})
    ):
        yield infer("parameters", str(number), "same_fp32", {**body, "parameters": parameters})
    for wrong in WRONG_PARAMETERS:
        yield infer("parameters that are none", json.dumps(wrong), "same_fp32", {**body, "parameters": wrong})
    for name, wrong in WRONG_LIMITS:
        asked = {**body, "parameters": {name: wrong}}
        yield infer("priority or timeout that is none", f"{name} {json.dumps(wrong)}", "same_fp32", asked)
    for number, sequence in enumerate(({"sequence_id": 5}, {"sequence_id": "a", "sequence_start": True})):
        yield infer("a sequence for a model without state", str(number), "same_fp32", {**body, "parameters": sequence})


def _pages() -> Iterator[Case]:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/add/ready", "/v2/models/add/versions/1/ready"):
        yield Case("ready", path, path, method="GET")
    for path in ("/v2/models/add", "/v2/models/add/versions/1", "/v2/models/single", "/v2/models/same_bytes"):
        yield Case("metadata", path, path, method="GET")
    for path in ("unknown", "unknown/config", "unknown/stats", "add/versions/9", "add/versions/9/config"):
        yield Case("a page of an unknown model", path, f"/v2/models/{path}", method="GET")
    for path in ("unknown/ready", "add/versions/9/ready"):
        yield Case("ready of an unknown model", path, f"/v2/models/{path}", method="GET")
    for method, path in (
        ("GET", "/v2/models/add/infer"),
        ("POST", "/v2/models/add"),
        ("POST", "/v2/models/add/config"),
    ):
        yield Case(f"{method} {path}", path, path, method=method)
    for path in ("/v2/unknown", "/v2/models/add/unknown", "/v2/models/add/versions/1/unknown"):
        yield Case("an unknown path", path, path, method="GET")

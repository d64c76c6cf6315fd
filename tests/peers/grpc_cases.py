"""The requests of the differential test that go over gRPC."""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import service_pb2

from serve.oip.datatypes import to_binary
from tests.peers.cases import array_of
from tests.peers.models import BATCH, SAME

CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@dataclass(frozen=True, slots=True)
class GrpcCase:
    """One call: a method of the service and its message."""

    kind: str
    name: str
    method: str
    message: Any


def grpc_cases() -> list[GrpcCase]:
    """All of them; names are unique within a kind."""
    return [*_valid(), *_options(), *_wrong_messages(), *_wrong_contents(), *_calls()]


def message(model: str, *inputs: tuple[str, str, Sequence[int]], raw: Sequence[bytes] = (), **more: Any) -> Any:
    """A `ModelInferRequest`; `inputs`: names, datatypes and shapes."""
    found = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=raw, **more)
    for name, datatype, shape in inputs:
        found.inputs.add(name=name, datatype=datatype, shape=shape)
    return found


def infer(kind: str, name: str, request: Any) -> GrpcCase:
    return GrpcCase(f"gRPC: {kind}", name, "ModelInfer", request)


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _valid() -> Iterator[GrpcCase]:
    for datatype in SAME:
        for shape in ((1, 1), (3, 2), (BATCH, 5)):
            array, model = array_of(datatype, shape), f"same_{datatype.lower()}"
            raw = [to_binary(array)]
            yield infer("raw", f"{datatype} {shape}", message(model, ("IN", datatype, shape), raw=raw, id="mine"))
            if datatype in CONTENTS:
                typed = message(model, ("IN", datatype, shape))
                getattr(typed.inputs[0].contents, CONTENTS[datatype]).extend(array.ravel().tolist())
                yield infer("typed", f"{datatype} {shape}", typed)
    numbers = [struct.pack("<8q", *range(8)), struct.pack("<8q", *range(8, 16))]
    both = (("A", "INT64", (2, 4)), ("B", "INT64", (2, 4)))
    yield infer("two inputs", "raw", message("add", *both, raw=numbers))
    for names in (["SUM"], ["DIFFERENCE", "SUM"]):
        asked = message("add", *both, raw=numbers)
        for name in names:
            asked.outputs.add(name=name)
        yield infer("some outputs", " ".join(names), asked)
    yield infer("no batch", "single", message("single", ("IN", "FP32", (3,)), raw=[floats(1, 2, 3)]))
    special = floats(math.nan, math.inf, -0.0)
    yield infer("special values", "FP32", message("same_fp32", ("IN", "FP32", (1, 3)), raw=[special]))


def _good(**more: Any) -> Any:
    return message("same_fp32", ("IN", "FP32", (1, 2)), raw=[floats(1, 2)], **more)


def _options() -> Iterator[GrpcCase]:
    for identifier in ("", "1", "ü漢"):
        yield infer("the id comes back", identifier or "none", _good(id=identifier))
    yield infer("a version by name", "1", _good(model_version="1"))
    for version in ("2", "0", "-1", "one"):
        yield infer("an unknown version", version, _good(model_version=version))
    for kind, parameter in (
        ("string_param", "yes"),
        ("int64_param", 5),
        ("bool_param", True),
        ("double_param", 1.5),
    ):
        asked = _good()
        setattr(asked.parameters["mine"], kind, parameter)
        yield infer("parameters", kind, asked)
    for name, kind, value in (
        ("priority", "uint64_param", 1),
        ("priority", "int64_param", 1),
        ("priority", "string_param", "high"),
        ("timeout", "int64_param", 5_000_000),
        ("timeout", "string_param", "soon"),
        ("timeout", "double_param", 1.5),
        ("sequence_id", "int64_param", 7),
        ("binary_data_output", "bool_param", True),
    ):
        asked = _good()
        setattr(asked.parameters[name], kind, value)
        yield infer("reserved parameters", f"{name} as {kind}", asked)
    for kind, classes in (("int64_param", 1), ("int64_param", 5), ("int64_param", -1), ("string_param", "2")):
        asked = _good()
        setattr(asked.outputs.add(name="OUT").parameters["classification"], kind, classes)
        yield infer("classification", f"{classes!r} as {kind}", asked)


def _wrong_messages() -> Iterator[GrpcCase]:
    yield infer("an unknown model", "unknown", message("unknown", ("IN", "FP32", (1, 2)), raw=[floats(1, 2)]))
    yield infer("no model", "empty", message("", ("IN", "FP32", (1, 2)), raw=[floats(1, 2)]))
    for other in ("FP64", "INT64", "BYTES", "BOOL", "nonsense", ""):
        asked = message("same_fp32", ("IN", other, (1, 1)), raw=[b"\0\0\0\0"])
        yield infer("another datatype", other or "none", asked)
    for shape in ((2,), (1, 1, 2), (0, 2), (BATCH + 1, 1), (-1, 2), ()):
        amount = abs(math.prod(shape))
        asked = message("same_fp32", ("IN", "FP32", shape), raw=[floats(*[1.0] * amount)])
        yield infer("a shape other than [-1, -1]", str(list(shape)), asked)
    numbers = struct.pack("<4q", *range(4))
    yield infer("an input is missing", "B", message("add", ("A", "INT64", (1, 4)), raw=[numbers]))
    yield infer("an input is missing", "both", message("add"))
    twice = message("same_fp32", ("IN", "FP32", (1, 1)), ("IN", "FP32", (1, 1)), raw=[floats(1), floats(2)])
    yield infer("an input twice", "IN", twice)
    many = message("same_fp32", ("IN", "FP32", (1, 1)), ("IN2", "FP32", (1, 1)), raw=[floats(1), floats(2)])
    yield infer("an input too many", "IN2", many)
    asked = _good()
    asked.outputs.add(name="NONE")
    yield infer("an unknown output", "NONE", asked)


def _wrong_contents() -> Iterator[GrpcCase]:
    one = ("IN", "FP32", (1, 2))
    for size in (0, 4, 12):
        yield infer("raw contents of another size", f"{size} of 8", message("same_fp32", one, raw=[b"\0" * size]))
    yield infer("more raw contents than inputs", "2", message("same_fp32", one, raw=[floats(1, 2), floats(1, 2)]))
    yield infer("no contents", "FP32", message("same_fp32", one))
    both = message("same_fp32", one, raw=[floats(1, 2)])
    both.inputs[0].contents.fp32_contents.extend([1, 2])
    yield infer("raw and typed contents", "FP32", both)
    other = message("same_fp32", one)
    other.inputs[0].contents.int64_contents.extend([1, 2])
    yield infer("contents of another type", "INT64", other)
    for amount in (1, 3):
        asked = message("same_fp32", one)
        asked.inputs[0].contents.fp32_contents.extend([1.0] * amount)
        yield infer("typed contents of another size", f"{amount} of 2", asked)
    wide = message("same_int8", ("IN", "INT8", (1, 1)))
    wide.inputs[0].contents.int_contents.append(300)
    yield infer("out of range", "300 as INT8", wide)
    for name, raw in (("beyond the end", struct.pack("<I", 9) + b"a"), ("no length", b"\1"), ("nothing", b"")):
        yield infer("BYTES", name, message("same_bytes", ("IN", "BYTES", (1, 1)), raw=[raw]))
    shared = _good()
    shared.inputs[0].parameters["shared_memory_region"].string_param = "none"
    yield infer("shared memory that nobody has registered", "input", shared)


def _calls() -> Iterator[GrpcCase]:
    yield GrpcCase("gRPC: live", "server", "ServerLive", service_pb2.ServerLiveRequest())
    yield GrpcCase("gRPC: ready", "server", "ServerReady", service_pb2.ServerReadyRequest())
    for name, version in (("add", ""), ("add", "1"), ("unknown", ""), ("add", "9")):
        label = f"{name} {version}".strip()
        kind = "gRPC: ready" if (name, version) in (("add", ""), ("add", "1")) else "gRPC: ready of an unknown model"
        yield GrpcCase(kind, label, "ModelReady", service_pb2.ModelReadyRequest(name=name, version=version))
        kind = kind.replace("ready", "metadata")
        yield GrpcCase(kind, label, "ModelMetadata", service_pb2.ModelMetadataRequest(name=name, version=version))
    for name, version in (("unknown", ""), ("add", "9")):
        label = f"{name} {version}".strip()
        kind = "gRPC: config of an unknown model"
        yield GrpcCase(kind, label, "ModelConfig", service_pb2.ModelConfigRequest(name=name, version=version))
        asked = service_pb2.ModelStatisticsRequest(name=name, version=version)
        yield GrpcCase("gRPC: statistics of an unknown model", label, "ModelStatistics", asked)

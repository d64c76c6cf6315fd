"""Between the gRPC messages of the protocol and our own requests and answers."""

from typing import Any

import numpy as np
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from serve.oip.datatypes import Array, datatype_of, dtype_of, from_binary, to_binary
from serve.oip.errors import InvalidInput
from serve.oip.message import InferRequest, InferResponse, Parameter, WantedOutput

_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_request(message: Any) -> InferRequest:
    """Raises `InvalidInput`. Raw inputs are views of the message."""
    raw = message.raw_input_contents
    if message.model_version and not message.model_version.isdecimal():
        raise InvalidInput(f"model version {message.model_version!r}: an integer above 0 is expected")
    if raw and len(raw) != len(message.inputs):
        raise InvalidInput(f"expected {len(message.inputs)} raw inputs, got {len(raw)}: all are raw, or none is")
    inputs: dict[str, Array] = {}
    for place, one in enumerate(message.inputs):
        if one.name in inputs:
            raise InvalidInput(f"inference input '{one.name}' occurs twice")
        if "shared_memory_region" in one.parameters:
            raise InvalidInput(f"input '{one.name}': shared memory is not supported by this server")
        if raw and one.HasField("contents"):
            raise InvalidInput(f"input '{one.name}': its contents are given twice, raw and typed")
        shape = list(one.shape)
        inputs[one.name] = (
            from_binary(one.name, one.datatype, shape, memoryview(raw[place])) if raw else _typed(one, shape)
        )
    return InferRequest(
        model=message.model_name,
        version=message.model_version,
        id=message.id,
        inputs=inputs,
        datatypes={one.name: one.datatype for one in message.inputs},
        outputs=tuple(_wanted(one) for one in message.outputs),
        parameters=_parameters(message.parameters),
    )


def write_response(response: InferResponse) -> Any:
    """With raw contents, as Triton answers."""
    message = service_pb2.ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    for name, array in response.outputs.items():
        message.outputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        message.raw_output_contents.append(to_binary(array))
    return message


def statistics_message(found: dict[str, Any]) -> Any:
    """`inference.ModelStatisticsResponse` of what the HTTP route answers."""
    return json_format.ParseDict(found, service_pb2.ModelStatisticsResponse())


def _typed(one: Any, shape: list[int]) -> Array:
    field = _CONTENTS.get(one.datatype)
    dtype = dtype_of(one.name, one.datatype)
    if field is None:
        raise InvalidInput(f"input '{one.name}': {one.datatype} is taken as raw contents alone")
    values = list(getattr(one.contents, field))
    if any(size < 0 for size in shape) or len(values) != int(np.prod(shape)):
        raise InvalidInput(f"input '{one.name}': shape {shape} does not hold {len(values)} elements")
    array = np.empty(len(values), dtype=dtype)
    try:
        array[:] = values
    except OverflowError as error:
        raise InvalidInput(f"input '{one.name}': out of range for {one.datatype}") from error
    return array.reshape(shape)


def _wanted(output: Any) -> WantedOutput:
    parameters = _parameters(output.parameters)
    if "shared_memory_region" in parameters:
        raise InvalidInput(f"output '{output.name}': shared memory is not supported by this server")
    classes = parameters.get("classification", 0)
    if not isinstance(classes, int) or classes < 0:
        raise InvalidInput(f"output '{output.name}': classification {classes!r}: a positive integer is expected")
    return WantedOutput(output.name, classes=classes)


def _parameters(entries: Any) -> dict[str, Parameter]:
    return {key: getattr(value, str(value.WhichOneof("parameter_choice"))) for key, value in entries.items()}

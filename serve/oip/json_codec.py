"""Requests and answers of the protocol's HTTP form: JSON, and binary tensors behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from interest.batch import Tensors
from serve.oip.datatypes import Array, datatype_of, from_binary, from_json, to_binary, to_json
from serve.oip.errors import InvalidInput
from serve.oip.message import InferRequest, InferResponse, Parameter, WantedOutput

HEADER_LENGTH = "Inference-Header-Content-Length"


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Parameter] = {}
    data: Any = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Parameter] = {}


class _Body(msgspec.Struct):
    inputs: list[_Input]
    id: str = ""
    parameters: dict[str, Parameter] = {}
    outputs: list[_Output] = []


_BODY = msgspec.json.Decoder(_Body)


def read_request(model: str, version: str, body: bytes, json_length: int | None) -> InferRequest:
    """Raises `InvalidInput`. `json_length`: bytes of the JSON, None when there is nothing behind it.

    Binary inputs are views of `body`.
    """
    if json_length is not None and not 0 <= json_length <= len(body):
        raise InvalidInput(f"{HEADER_LENGTH}: {json_length} bytes, the body has {len(body)}")
    whole = memoryview(body)
    end = len(body) if json_length is None else json_length
    try:
        parsed = _BODY.decode(whole[:end])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"failed to parse the request JSON buffer: {error}") from error
    _flag(parsed.parameters, "binary_data_output")
    return InferRequest(
        model=model,
        version=version,
        id=parsed.id,
        inputs=_inputs(parsed.inputs, whole[end:]),
        datatypes={one.name: one.datatype for one in parsed.inputs},
        outputs=tuple(_wanted(one) for one in parsed.outputs),
        parameters=parsed.parameters,
    )


def write_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON when binary tensors follow it."""
    wanted = {one.name: one for one in request.outputs}
    described: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, array in response.outputs.items():
        one = wanted.get(name)
        as_binary = request.binary_output if one is None or one.binary is None else one.binary
        entry: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
        if as_binary:
            raw = to_binary(array)
            binary.append(raw)
            entry["parameters"] = {"binary_data_size": len(raw)}
        else:
            entry["data"] = to_json(name, array)
        described.append(entry)
    head: dict[str, Any] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        head["id"] = response.id
    if response.parameters:
        head["parameters"] = dict(response.parameters)
    text = orjson.dumps({**head, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((text, *binary)), len(text)) if binary else (text, None)


def _inputs(described: Sequence[_Input], binary: memoryview) -> Tensors:
    found: dict[str, Array] = {}
    at = 0
    for one in described:
        if one.name in found:
            raise InvalidInput(f"inference input '{one.name}' occurs twice")
        if "shared_memory_region" in one.parameters:
            raise InvalidInput(f"input '{one.name}': shared memory is not supported by this server")
        size = one.parameters.get("binary_data_size")
        if size is not None and one.data is not None:
            raise InvalidInput(
                f"input '{one.name}': only one of 'data' and the parameter 'binary_data_size' may be set"
            )
        if size is None:
            found[one.name] = from_json(one.name, one.datatype, one.shape, one.data)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or at + size > len(binary):
            raise InvalidInput(
                f"input '{one.name}': binary_data_size {size!r}, {len(binary) - at} bytes are left behind the JSON"
            )
        found[one.name] = from_binary(one.name, one.datatype, one.shape, binary[at : at + size])
        at += size
    if at != len(binary):
        raise InvalidInput(f"{len(binary) - at} bytes behind the JSON belong to no input")
    return found


def _wanted(output: _Output) -> WantedOutput:
    if "shared_memory_region" in output.parameters:
        raise InvalidInput(f"output '{output.name}': shared memory is not supported by this server")
    classes = output.parameters.get("classification", 0)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
        raise InvalidInput(f"output '{output.name}': classification {classes!r}: a positive integer is expected")
    return WantedOutput(output.name, _flag(output.parameters, "binary_data"), classes)


def _flag(parameters: Mapping[str, Parameter], name: str) -> bool | None:
    """None where it is not said. Raises `InvalidInput` when it is neither true nor false."""
    value = parameters.get(name)
    if not isinstance(value, bool | None):
        raise InvalidInput(f"parameter '{name}' is {value!r}: true or false is expected")
    return value

"""Answers of both servers in one form, in which only what they mean is compared."""

import json
import struct
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import numpy as np
from tritonclient.grpc import service_pb2_grpc

from serve.oip.datatypes import DATATYPES
from tests.peers.cases import HEADER_LENGTH, Case
from tests.peers.grpc_cases import GrpcCase

OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """`content`: what an answer with status `OK` says; `error`: whether any other is `{"error": "text"}`.

    Of gRPC the status is the number of its code, with `OK` for 0.
    """

    status: int
    content: Any = None
    error: bool = False
    text: str = ""  # of the error, for whoever reads a failure; wording is not compared

    def same_as(self, other: "Answer") -> bool:
        return (self.status, self.error) == (other.status, other.error) and repr(self.content) == repr(other.content)


async def asked(client: httpx.AsyncClient, case: Case) -> Answer:
    """One request of the test."""
    response = await client.request(case.method, case.path, content=case.body, headers=case.headers)
    if response.status_code != 200:
        return _refused(response)
    if case.path.endswith("/infer"):
        try:
            return Answer(200, _inferred(response))
        except UnicodeDecodeError as error:
            return Answer(200, f"no UTF-8: {error.reason}")
    return Answer(200, _described(response.json()) if response.content else None)


async def called(channel: grpc.aio.Channel, case: GrpcCase) -> Answer:
    """One gRPC call of the test."""
    method = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), case.method)
    try:
        reply = await method(case.message, timeout=30)
    except grpc.aio.AioRpcError as error:
        return Answer(error.code().value[0], text=f"{error.code().name}: {error.details()}")
    if case.method != "ModelInfer":
        return Answer(OK, str(reply))
    outputs = [
        (one.name, one.datatype, list(one.shape), _values(one.datatype, raw))
        for one, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
    ]
    return Answer(OK, [reply.model_name, reply.model_version, reply.id, sorted(reply.parameters), outputs])


def _refused(response: httpx.Response) -> Answer:
    try:
        body = response.json()
    except ValueError:
        return Answer(response.status_code, text=response.text)
    is_error = isinstance(body, dict) and set(body) == {"error"} and isinstance(body["error"], str)
    return Answer(response.status_code, error=is_error, text=str(body))


def _inferred(response: httpx.Response) -> Any:
    length = int(response.headers.get(HEADER_LENGTH, len(response.content)))
    head, binary = json.loads(response.content[:length]), response.content[length:]
    outputs = []
    for output in head.pop("outputs"):
        parameters = output.pop("parameters", {})
        size = parameters.pop("binary_data_size", None)
        data = output.pop("data", None)
        values = _json_values(output["datatype"], data) if size is None else _values(output["datatype"], binary[:size])
        binary = binary[size:] if size is not None else binary
        outputs.append({**_ordered(output), "parameters": parameters, "binary": size is not None, "values": values})
    assert not binary, f"{len(binary)} bytes behind the last output"
    return {**_ordered(head), "outputs": outputs}


def _json_values(datatype: str, data: Any) -> list[Any]:
    """Numbers as the datatype has them: one server writes a float32 with more digits than the other."""
    if datatype == "BYTES":
        return list(data)
    return list(map(repr, np.array([np.nan if one is None else one for one in data], DATATYPES[datatype]).tolist()))


def _values(datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        return list(map(repr, np.frombuffer(raw, DATATYPES[datatype]).tolist()))
    found: list[Any] = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _described(body: Any) -> Any:
    """Metadata: tensors in any order of their keys."""
    return {key: list(map(_ordered, body[key])) if key in ("inputs", "outputs") else body[key] for key in sorted(body)}


def _ordered(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in sorted(found)}

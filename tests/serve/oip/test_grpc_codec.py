"""gRPC messages to requests and back."""

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from serve.oip.datatypes import DATATYPES, from_binary, to_binary
from serve.oip.errors import InvalidInput
from serve.oip.grpc_codec import read_request, statistics_message, write_response
from serve.oip.message import InferResponse
from serve.oip.statistics import NOTHING, as_json

CONTENTS: dict[str, tuple[str, list[Any]]] = {
    "BOOL": ("bool_contents", [True, False]),
    **dict.fromkeys(("INT8", "INT16", "INT32"), ("int_contents", [-1, 2])),
    "INT64": ("int64_contents", [-1, 2]),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), ("uint_contents", [1, 2])),
    "UINT64": ("uint64_contents", [1, 2**63]),
    "FP32": ("fp32_contents", [0.5, 2.0]),
    "FP64": ("fp64_contents", [0.5, 2.0]),
    "BYTES": ("bytes_contents", [b"a", b"\xff"]),
}


@pytest.mark.parametrize("datatype", CONTENTS)
def test_typed_contents_become_arrays(datatype: str) -> None:
    field, values = CONTENTS[datatype]
    message = service_pb2.ModelInferRequest(model_name="m", model_version="2", id="7")
    tensor = message.inputs.add(name="x", datatype=datatype, shape=[2, 1])
    getattr(tensor.contents, field).extend(values)
    message.parameters["priority"].int64_param = 3
    message.outputs.add(name="y").parameters["classification"].int64_param = 2
    found = read_request(message)
    assert (found.model, found.version, found.id, found.parameters) == ("m", "2", "7", {"priority": 3})
    assert found.inputs["x"].dtype == DATATYPES[datatype]
    assert found.inputs["x"].tolist() == [[value] for value in values]
    assert [(one.name, one.classes) for one in found.outputs] == [("y", 2)]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_raw_contents_become_arrays_and_answers_are_raw(datatype: str) -> None:
    array = np.empty(2, dtype=DATATYPES[datatype])
    array[:] = [b"a", b"b"] if datatype == "BYTES" else [1, 0]
    message = service_pb2.ModelInferRequest(raw_input_contents=[to_binary(array)])
    message.inputs.add(name="x", datatype=datatype, shape=[2])
    assert read_request(message).inputs["x"].tolist() == array.tolist()
    answer = write_response(InferResponse(model="m", version="1", id="7", outputs={"y": array}))
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", datatype, [2])
    again = from_binary("y", datatype, [2], memoryview(answer.raw_output_contents[0]))
    assert again.tolist() == array.tolist()


def test_what_does_not_fit_is_refused() -> None:
    def message(shape: list[int], values: list[int], datatype: str = "INT8") -> object:
        made = service_pb2.ModelInferRequest()
        made.inputs.add(name="x", datatype=datatype, shape=shape).contents.int_contents.extend(values)
        return made

    twice = service_pb2.ModelInferRequest(raw_input_contents=[b"", b""])
    for _ in range(2):
        twice.inputs.add(name="x", datatype="INT8", shape=[0])
    few = service_pb2.ModelInferRequest(raw_input_contents=[b"", b""])
    few.inputs.add(name="x", datatype="INT8", shape=[0])
    shared = message([1], [1])
    shared.inputs[0].parameters["shared_memory_region"].string_param = "r"  # type: ignore[attr-defined]
    for made, text in (
        (message([2], [1]), "does not hold 1 elements"),
        (message([1], [300]), "out of range for INT8"),
        (message([1], [1], "FP16"), "raw contents alone"),
        (message([1], [1], "FP31"), "unknown datatype"),
        (twice, "occurs twice"),
        (few, "expected 1 raw inputs, got 2"),
        (shared, "shared memory"),
    ):
        with pytest.raises(InvalidInput, match=text):
            read_request(made)


def test_statistics_are_the_same_in_both_forms() -> None:
    message = statistics_message({"model_stats": [as_json("m", "1", NOTHING)]})
    assert (message.model_stats[0].name, message.model_stats[0].inference_stats.success.count) == ("m", 0)


def test_contents_given_twice_and_a_version_that_is_no_number_are_refused() -> None:
    message = service_pb2.ModelInferRequest(model_name="m", raw_input_contents=[b"\0\0\0\0"])
    message.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1.0)
    with pytest.raises(InvalidInput, match="raw and typed"):
        read_request(message)
    with pytest.raises(InvalidInput, match="version 'one'"):
        read_request(service_pb2.ModelInferRequest(model_name="m", model_version="one"))

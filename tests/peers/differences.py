"""Every difference between Triton's answers and Attune's, with its reason. Anything else is a failure of the test."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.peers.answers import OK
from tests.peers.servers import DIED

ALL: tuple[str, ...] = ()  # all cases of the kind


@dataclass(frozen=True, slots=True)
class Difference:
    """Status of Triton, status of Attune, and whose answers they are: names of cases by their kind."""

    reason: str
    triton: int
    attune: int
    cases: Mapping[str, tuple[str, ...]]


MALFORMED: Mapping[str, tuple[str, ...]] = {
    "classification by no number of classes": ("-1", '"2"', "true", "1.5"),
    "an id that is no text": (),
    "parameters that are none": ("[]", '"text"', "3", "null"),
    "priority or timeout that is none": (),
    "a body that is no request": (
        "b'{'",
        "b'nonsense'",
        "b'[]'",
        "b'null'",
        "b'7'",
        "b'\"text\"'",
        "b'{}'",
        "b'{\"inputs\": ['",
        "b'\\xff\\xfe'",
        "b\"{'a': 1}\"",
    ),
    "inputs that are none": ('"text"', "{}", "null", "5"),
    "outputs that are none": (),
    "an input without name": (),
    "an input whose name is none": ("null", "5", '{"a": 1}', "[]", '["text"]', "[1.5, 2]", "[-1, 2]", "true"),
    "an input without shape": (),
    "an input whose shape is none": (
        "null",
        "5",
        '{"a": 1}',
        '""',
        '"text"',
        '["text"]',
        "[1.5, 2]",
        "[-1, 2]",
        "true",
    ),
    "an input without datatype": (),
    "an input whose datatype is none": ("null", "5", '{"a": 1}', "[]", '["text"]', "[1.5, 2]", "[-1, 2]", "true"),
    "an input whose data is none": ("null", "5", '{"a": 1}', "[]", '""', '"text"', '["text"]', "true"),
    "an output without name": (),
    "data of all kinds as FP32": ('["text", "more"]', "[true, false]", "[{}, {}]", '[1, "text"]'),
    "fewer elements than the shape": ("FP32", "FP64", "INT64", "INT32", "INT8", "UINT8", "UINT64", "BOOL"),
    "more elements than the shape": ("FP32", "FP64", "INT64", "INT32", "INT8", "UINT8", "UINT64", "BOOL"),
    "data of all kinds as FP64": ('["text", "more"]', "[true, false]", "[{}, {}]", '[1, "text"]'),
    "data of all kinds as INT64": (
        '["text", "more"]',
        "[1.5, 2.0]",
        "[true, false]",
        "[null, null]",
        "[{}, {}]",
        '[1, "text"]',
    ),
    "data of all kinds as INT32": (
        '["text", "more"]',
        "[1.5, 2.0]",
        "[true, false]",
        "[null, null]",
        "[{}, {}]",
        '[1, "text"]',
    ),
    "data of all kinds as INT8": (
        '["text", "more"]',
        "[1.5, 2.0]",
        "[true, false]",
        "[null, null]",
        "[{}, {}]",
        '[1, "text"]',
    ),
    "data of all kinds as UINT8": (
        '["text", "more"]',
        "[1.5, 2.0]",
        "[true, false]",
        "[null, null]",
        "[{}, {}]",
        '[1, "text"]',
    ),
    "data of all kinds as UINT64": (
        '["text", "more"]',
        "[1.5, 2.0]",
        "[true, false]",
        "[null, null]",
        "[{}, {}]",
        '[1, "text"]',
    ),
    "data of all kinds as BOOL": (
        '["text", "more"]',
        "[1, 2]",
        "[1.5, 2.0]",
        "[null, null]",
        "[{}, {}]",
        '[1, "text"]',
    ),
    "data of all kinds as BYTES": ("[1, 2]", "[1.5, 2.0]", "[true, false]", "[null, null]", "[{}, {}]", '[1, "text"]'),
    "out of range": ("-1 as UINT8", "9223372036854775808 as INT64"),
    "binary_data_size other than 8": ("-8", '"8"', "8.0", "true", "null"),
    "another Inference-Header-Content-Length": ("'1.5'",),
    "binary data without its header": (),
    "binary_data that is no flag": (),
}

DIFFERENCES = (
    Difference("what a client got wrong is a 400: Triton calls it a failure of its own", 500, 400, MALFORMED),
    Difference(
        "JSON has no NaN and no infinity: null stands for them, both ways; Triton writes literals no parser need take",
        OK,
        OK,
        {"NaN in a JSON answer": ALL},
    ),
    Difference(
        "null is NaN, as it is in answers",
        500,
        OK,
        {"data of all kinds as FP32": ("[null, null]",), "data of all kinds as FP64": ("[null, null]",)},
    ),
    Difference(
        "Triton reads some float64 with a last digit other than was written",
        OK,
        OK,
        {
            "JSON both ways": ("JSON FP64 [3, 2]", "JSON FP64 [8, 5]"),
            "nested JSON": ("nested FP64 [3, 2]", "nested FP64 [8, 5]"),
            "JSON in, binary out": ("in FP64 [3, 2]", "in FP64 [8, 5]"),
        },
    ),
    Difference(
        "the extension makes the request's binary_data_output the default of all outputs; Triton forgets it for those "
        "that are named",
        OK,
        OK,
        {"one output binary": ("all but SUM",)},
    ),
    Difference(
        "a JSON answer is UTF-8: Triton sends bytes that no client can decode",
        OK,
        400,
        {"bytes that are no text, JSON": ALL},
    ),
    Difference(
        "a number that its datatype cannot hold is refused; Triton wraps it around",
        OK,
        400,
        {"out of range": ("128 as INT8", "256 as UINT8", "2147483648 as INT32"), "beyond FP32 in JSON": ALL},
    ),
    Difference("the same over gRPC", OK, 3, {"gRPC: out of range": ALL}),
    Difference(
        "no model keeps state: a sequence is refused, where Triton answers as if it were none",
        OK,
        400,
        {"a sequence for a model without state": ALL},
    ),
    Difference("the same over gRPC", OK, 3, {"gRPC: reserved parameters": ("sequence_id as int64_param",)}),
    Difference(
        "parameters that are no object, or hold what is no parameter, are refused; Triton ignores them",
        OK,
        400,
        {
            "parameters of an input that are none": ("null", "5", '"text"', "[]"),
            "parameters of an output that are none": ALL,
        },
    ),
    Difference(
        "a body without JSON is refused; Triton takes the bytes of one, and of any whose header it cannot read, for "
        "the only tensor",
        OK,
        400,
        {
            "a body that is no request": ("b''",),
            "another Inference-Header-Content-Length": ("'text'", "''", "'0'"),
        },
    ),
    Difference("raw contents that belong to no input are refused", OK, 3, {"gRPC: more raw contents than inputs": ALL}),
    Difference(
        "there is no shared memory here, whatever its name",
        404,
        400,
        {"shared memory that nobody has registered": ("output",)},
    ),
    Difference(
        "beside the status, KServe's clients read a body; the protocol says nothing of one, and Triton sends none",
        OK,
        OK,
        {"ready": ("/v2/health/live", "/v2/health/ready")},
    ),
    Difference("Triton 2.51 dies of it", DIED, 400, {"classification of BYTES": ALL}),
)

"""The requests that every server is asked, as they go over the wire, and what their replies must hold."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.peers.load import Exchange

Body = Literal["json", "binary"]
BODIES: tuple[Body, ...] = ("json", "binary")


def recommend(user_id: str, count: int, item_ids: Sequence[str], body: Body) -> Exchange:
    """The Open Inference Protocol's `recommend`: items for one user, ids and scores. `item_ids`: those expected."""
    expected = compact(list(item_ids)) if body == "json" else _packed(item_ids)
    return _infer(_Tensor("user_id", "BYTES", user_id, _packed([user_id])), count, "item_id", expected, body)


def by_number(user: int, count: int, item_keys: Sequence[int], body: Body) -> Exchange:
    """The same of a server that knows users by number and items by key."""
    expected = compact(list(item_keys)) if body == "json" else struct.pack(f"<{len(item_keys)}q", *item_keys)
    return _infer(_Tensor("user", "INT64", user, struct.pack("<q", user)), count, "item_key", expected, body)


def post(path: str, body: bytes, expected: bytes, headers: Mapping[str, str]) -> Exchange:
    """One POST over a connection that is kept."""
    lines = {"Host": "localhost", "Content-Length": str(len(body)), **headers}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Exchange(f"{head}\r\n".encode() + body, expected)


def compact(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One element of shape [1, 1], as it is in JSON and in binary."""

    name: str
    datatype: str
    value: str | int
    raw: bytes

    def described(self, **more: Any) -> dict[str, Any]:
        return {"name": self.name, "shape": [1, 1], "datatype": self.datatype, **more}


def _infer(user: _Tensor, count: int, output: str, expected: bytes, body: Body) -> Exchange:
    inputs = (user, _Tensor("count", "INT64", count, struct.pack("<q", count)))
    path, names = "/v2/models/recommend/infer", (output, "score")
    if body == "json":
        described = [one.described(data=[one.value]) for one in inputs]
        head = compact({"inputs": described, "outputs": [{"name": name} for name in names]})
        return post(path, head, expected, {"Content-Type": "application/json"})
    described = [one.described(parameters={"binary_data_size": len(one.raw)}) for one in inputs]
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in names]
    head = compact({"inputs": described, "outputs": outputs})
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return post(path, head + b"".join(one.raw for one in inputs), expected, headers)


def _packed(texts: Sequence[str]) -> bytes:
    """BYTES elements in the protocol's binary form."""
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)

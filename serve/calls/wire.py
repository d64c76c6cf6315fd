"""Calls of stages, from replica to replica over one TCP connection for all of them: what the two ends share.

A call through Ray Serve's handle is a router's task, a gRPC message and a dozen coroutines on either side, three times
in a row for a recommendation. Here a call is a frame there and a frame back, in any order, and all that one end has to
say in the same turn of its loop is one write.

Who calls connects, says the key of the listener, and waits for `ADMITTED`. Then both write frames: a head of 16 bytes,
little-endian (uint32 length of the body, uint32 kind, uint64 number of the call), and the body. Bodies are a multiple
of 8 bytes, so that arrays in them are aligned where they arrive. A body begins with MessagePack, its length in 4 bytes
before it; what follows depends on the kind:

    CALL, ANSWER   the arrays of `serve.calls.tensors`
    ERROR          nothing: the error of `serve.calls.failures` is MessagePack alone
    CANCEL         no body: nobody waits for the answer of the call, and none will come
    GOODBYE        no body, number 0: who answers is about to stop. What it is asked meanwhile it answers all the same,
                   until who calls has closed the connection.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec
import numpy as np

from interest.errors import AttuneError

ALIGNMENT = 8  # bytes
HEAD = struct.Struct("<IIQ")
MAX_BODY_BYTES = 2**30
_LENGTH = struct.Struct("<I")
Body = Sequence[bytes]  # pieces of it, in order


class Kind(IntEnum):
    CALL = 1
    ANSWER = 2
    ERROR = 3
    CANCEL = 4
    GOODBYE = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a replica listens for calls."""

    host: str
    port: int
    key: bytes = field(repr=False)  # of the listener: whoever knows it may call

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ReplicaLost(Exception):
    """The connection was lost before the answer came: the call may have been carried out, or not."""


Frame = tuple[Kind, int, memoryview]  # kind, number, body


class Frames:
    """Cuts what arrives on one connection into frames. Their bodies may be written to: whoever has one owns it."""

    def __init__(self) -> None:
        self._rest = bytearray()  # the beginning of a frame; nobody has a view of it

    def feed(self, data: bytes | bytearray) -> list[Frame]:
        """The frames that end with this. Raises `ValueError` for nonsense."""
        buffer = self._rest
        buffer += data
        view, start, found = memoryview(buffer), 0, []
        while len(buffer) - start >= HEAD.size:
            length, kind, number = HEAD.unpack_from(buffer, start)
            if length > MAX_BODY_BYTES or length % ALIGNMENT:
                raise ValueError(f"a body of {length} bytes: at most {MAX_BODY_BYTES}, a multiple of {ALIGNMENT}")
            body, end = start + HEAD.size, start + HEAD.size + length
            if end > len(buffer):
                break
            found.append((Kind(kind), number, view[body:end]))
            start = end
        if start:
            self._rest = buffer[start:]
        view.release()
        return found


def framed(kind: Kind, number: int, body: Body = ()) -> list[bytes]:
    """The pieces of a frame. Raises `AttuneError` for a body that is too large."""
    if (length := sum(map(len, body))) > MAX_BODY_BYTES:
        raise AttuneError(f"{length} bytes in one call of a stage, at most {MAX_BODY_BYTES}")
    return [HEAD.pack(length, kind, number), *body]


def packed(value: object) -> bytes:
    """The beginning of a body. Raises `TypeError` or `ValueError` for what MessagePack does not know."""
    encoded = msgspec.msgpack.encode(value, enc_hook=_plain)
    return _LENGTH.pack(len(encoded)) + encoded + padding(_LENGTH.size + len(encoded))


def unpacked(body: memoryview) -> tuple[memoryview, int]:
    """The MessagePack at the beginning of a body, and how many bytes it takes there. Raises `ValueError`."""
    if len(body) < _LENGTH.size:
        raise ValueError("a body without a beginning")
    (length,) = _LENGTH.unpack_from(body)
    end = _LENGTH.size + length
    if end > len(body):
        raise ValueError(f"a beginning of {length} bytes in a body of {len(body)}")
    return body[_LENGTH.size : end], end + len(padding(end))


def padding(length: int) -> bytes:
    """What brings so many bytes to a multiple of `ALIGNMENT`."""
    return bytes(-length % ALIGNMENT)


def _plain(value: Any) -> Any:
    """A NumPy scalar among the values of an array of objects, as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")

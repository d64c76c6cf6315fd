"""Frames: cut wherever the network cuts them, and refused when they make no sense."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interest.errors import AttuneError
from serve.calls import wire
from serve.calls.wire import HEAD, MAX_BODY_BYTES, Frames, Kind, framed, packed, unpacked

BODIES = [b"", b"12345678", bytes(range(256)) * 16]


def said() -> bytes:
    return b"".join(piece for number, body in enumerate(BODIES) for piece in framed(Kind.CALL, number, [body]))


@given(st.lists(st.integers(0, len(said())), max_size=8))
def test_frames_are_the_same_however_they_arrive(cuts: list[int]) -> None:
    frames, whole, found = Frames(), said(), []
    places = [0, *sorted(cuts), len(whole)]
    for start, stop in pairwise(places):
        found += frames.feed(whole[start:stop])
    assert [(kind, number, bytes(body)) for kind, number, body in found] == [
        (Kind.CALL, number, body) for number, body in enumerate(BODIES)
    ]


def test_bodies_are_aligned_and_may_be_written_to_whatever_else_arrives() -> None:
    frames = Frames()
    whole = said()
    first, second, third = [*frames.feed(whole[:-5]), *frames.feed(whole[-5:])]
    for _, _, body in (second, third):
        numbers = np.frombuffer(body, np.int64)
        assert numbers.flags.aligned
        numbers += 1
    assert first[2].nbytes == 0


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (HEAD.pack(MAX_BODY_BYTES + 8, Kind.CALL, 1), "at most"),
        (HEAD.pack(7, Kind.CALL, 1), "a multiple of 8"),
        (HEAD.pack(0, 99, 1), "99 is not a valid Kind"),
    ],
)
def test_nonsense_is_refused(head: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Frames().feed(head)


def test_a_body_that_is_too_large_is_told_to_who_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 8)
    with pytest.raises(AttuneError, match="16 bytes in one call of a stage, at most 8"):
        framed(Kind.CALL, 1, [bytes(16)])


def test_the_beginning_of_a_body_is_unpacked_as_it_was_packed() -> None:
    body = packed(["a", np.int64(3), np.str_("b")])
    assert len(body) % 8 == 0
    found, end = unpacked(memoryview(body + b"arrays"))
    assert (bytes(found), end) == (b"\x93\xa1a\x03\xa1b", len(body))


@pytest.mark.parametrize("body", [b"", b"123", (9).to_bytes(4, "little") + b"1234"])
def test_a_body_without_its_beginning_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="beginning"):
        unpacked(memoryview(body))


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(wire.Place("host", 1, b"secret"))

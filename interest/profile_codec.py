"""Profiles as bytes: a fixed prefix, the columns of behaviour as little-endian arrays, the rest as msgpack."""

import struct

import msgspec
import numpy as np

from interest.events import Facet
from interest.profile import HALF_LIVES_S, Behaviour, Declaration, InterestProfile

_FORMAT = 1
_PREFIX = struct.Struct("<II")  # format, rows; 8 bytes, so that the 8-byte columns behind it are aligned
_LIVES = len(HALF_LIVES_S)
_ROW_BYTES = 8 * (4 + _LIVES) + 4 + 1

_LONG, _DOUBLE, _INT, _BYTE = (np.dtype(name) for name in ("<i8", "<f8", "<i4", "<i1"))


class _Rest(msgspec.Struct, array_like=True, frozen=True):
    events: int
    updated_at: float
    declared: list[tuple[tuple[str, str], tuple[float | None, float, str]]]  # (kind, name), (weight, time, record_id)
    cleared: tuple[float, str] | None
    keywords: dict[str, tuple[float, float]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Rest)


def encode(profile: InterestProfile) -> bytes:
    """The profile without its user id."""
    rows = profile.behaviour
    declared = [
        ((facet.kind, facet.name), (found.weight, found.timestamp, found.record_id))
        for facet, found in profile.declared.items()
    ]
    rest = _Rest(profile.events, profile.updated_at, declared, profile.cleared, profile.keywords)
    columns = (
        rows.item_key.astype(_LONG, copy=False),
        *(column.astype(_DOUBLE, copy=False) for column in (rows.value, rows.first_at, rows.last_at, rows.decayed)),
        rows.count.astype(_INT, copy=False),
        rows.event_type.astype(_BYTE, copy=False),
    )
    prefix = _PREFIX.pack(_FORMAT, len(rows.item_key))
    return b"".join((prefix, *(column.tobytes() for column in columns), _encoder.encode(rest)))


def decode(user_id: str, blob: bytes) -> InterestProfile:
    """The profile behind these bytes; its arrays are views of them, so they cannot be written."""
    stored, n = _PREFIX.unpack_from(blob)
    assert stored == _FORMAT, f"profile format {stored}, this program reads {_FORMAT}"
    start, column = _PREFIX.size, 8 * n  # bytes
    narrow = start + (4 + _LIVES) * column
    rest = _decoder.decode(blob[start + n * _ROW_BYTES :])
    return InterestProfile(
        user_id=user_id,
        behaviour=Behaviour(  # np.ndarray is twice as quick as np.frombuffer, and this runs for every user of a batch
            item_key=np.ndarray(n, _LONG, blob, start),
            event_type=np.ndarray(n, _BYTE, blob, narrow + 4 * n),
            count=np.ndarray(n, _INT, blob, narrow),
            value=np.ndarray(n, _DOUBLE, blob, start + column),
            first_at=np.ndarray(n, _DOUBLE, blob, start + 2 * column),
            last_at=np.ndarray(n, _DOUBLE, blob, start + 3 * column),
            decayed=np.ndarray((n, _LIVES), _DOUBLE, blob, start + 4 * column),
        ),
        declared={Facet(kind, name): Declaration(*found) for (kind, name), found in rest.declared},
        cleared=rest.cleared,
        keywords=rest.keywords,
        events=rest.events,
        updated_at=rest.updated_at,
    )

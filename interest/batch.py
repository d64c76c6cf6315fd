"""The batches that cross the wire: named NumPy arrays, one row per user, ragged parts as values + offsets.

A field called `x_offsets` (int64 [users + 1]) cuts the arrays whose names begin with `x_` into one slice per user.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

Tensors = dict[str, np.ndarray[Any, Any]]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]


class ArrayBatch:
    """A frozen dataclass of arrays that travels as a dict of named arrays."""

    __dataclass_fields__: ClassVar[dict[str, Any]]  # whose names `dataclasses.fields` would look for in every batch

    def to_tensors(self) -> Tensors:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        return cls(**{name: tensors[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class UserRequest(ArrayBatch):
    """What each of B requests asks of the interest stage. `history` is what users did that nobody has stored."""

    user_id: npt.NDArray[np.object_]  # [B] str, "" = nobody we know
    now: Doubles  # [B] unix seconds
    as_of: Doubles  # [B] unix seconds, NaN = live
    history_offsets: Longs  # [B + 1]
    history_item: Longs  # item keys
    history_type: npt.NDArray[np.int8]  # interest.events.EVENT_CODES
    history_at: Doubles  # unix seconds
    history_value: Doubles  # NaN where there is none


@dataclass(frozen=True, slots=True)
class UserBatch(ArrayBatch):
    """What the interest stage knows of B users; input of retriever and reranker.

    `content` holds up to K content interest vectors a user in the encoder's space (rows of zeros when absent).
    """

    now: Doubles  # [B] unix seconds on the server's one clock, or the request's as_of
    vector: Floats  # [B, D] collaborative interest vector of all behaviour; zeros when nothing is known
    recent_vector: Floats  # [B, D] the same with recent behaviour first: its weights fall to half within weeks
    session_vector: Floats  # [B, D] the same of the behaviour around the user's latest event
    content: Floats  # [B, K, E] unit length or zero
    behaviour_offsets: Longs  # [B + 1]
    behaviour_item: Longs  # item keys, rows as in interest.profile.Behaviour
    behaviour_type: npt.NDArray[np.int8]
    behaviour_count: npt.NDArray[np.int32]
    behaviour_value: Doubles
    behaviour_first_at: Doubles
    behaviour_last_at: Doubles
    behaviour_decayed: Doubles  # [n, 3]
    facet_offsets: Longs  # [B + 1]
    facet_hash: npt.NDArray[np.uint64]  # interest.features.facet_hash(kind, name), sorted within a user
    facet_weight: Floats  # declared and learned weights merged, 0 to 1


def ragged_offsets(lengths: npt.ArrayLike) -> Longs:
    """int64 [B + 1] offsets of slices with these lengths."""
    counts = np.asarray(lengths, dtype=np.int64)
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets

"""What travels between the stages, in the protocol's rectangular arrays: users and candidates, there and back."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from interest.batch import Tensors, UserBatch
from ranking.batch import CandidateBatch
from ranking.sources import SCORES
from serve.oip.datatypes import Array
from serve.oip.model_config import TensorConfig
from serve.oip.ragged import padded, unpadded

RAGGED = ("behaviour", "facet")
_FIELD_TYPES = {
    **dict.fromkeys(("now", "behaviour_value", "behaviour_first_at", "behaviour_last_at", "behaviour_decayed"), "FP64"),
    **dict.fromkeys(("vector", "recent_vector", "session_vector", "content", "facet_weight"), "FP32"),
    "behaviour_item": "INT64",
    "behaviour_type": "INT8",
    "behaviour_count": "INT32",
    "facet_hash": "UINT64",
}
# Datatype of each field of `UserBatch` that is no offset, in its order.
USER_TYPES = {
    field.name: _FIELD_TYPES[field.name] for field in fields(UserBatch) if not field.name.endswith("_offsets")
}
USER_DIMS: Mapping[str, tuple[int, ...]] = {"behaviour_decayed": (-1, 3)}


def tensor(name: str, data_type: str, *dims: int, optional: bool = False) -> TensorConfig:
    """One line of a config."""
    return TensorConfig(name=name, data_type=f"TYPE_{data_type}", dims=dims, optional=optional)


def column(tensors: Tensors, name: str, rows: int, default: Any) -> Array:
    """An input of dims [1] as one value a row; the default where it is missing."""
    if name in tensors:
        return tensors[name].reshape(rows)
    return np.full(rows, default, dtype=object if isinstance(default, str) else None)


def user_inputs(rank: int, content: tuple[int, int]) -> tuple[TensorConfig, ...]:
    """The tensors of `UserBatch`, ragged ones padded, with their lengths."""
    dims: dict[str, tuple[int, ...]] = {
        "now": (1,),
        **dict.fromkeys(("vector", "recent_vector", "session_vector"), (rank,)),
        "content": content,
    }
    found = [tensor(f"{name}_length", "INT64", 1) for name in RAGGED]
    for name, datatype in USER_TYPES.items():
        found.append(tensor(name, datatype, *dims.get(name, USER_DIMS.get(name, (-1,)))))
    return tuple(found)


def user_outputs(users: UserBatch) -> Tensors:
    """The same tensors of a batch."""
    ragged = {f"{name}_offsets": name for name in RAGGED}
    found: Tensors = {}
    for name, values in users.to_tensors().items():
        if name in ragged:
            found[f"{ragged[name]}_length"] = np.diff(values).reshape(-1, 1)
        elif (kind := name.split("_")[0]) in RAGGED:
            found[name] = padded(values, getattr(users, f"{kind}_offsets"), 0)
        else:
            found[name] = values.reshape(-1, 1) if values.ndim == 1 else values
    return found


def user_batch(tensors: Tensors) -> UserBatch:
    """Back again. Raises `InvalidInput` for lengths that do not fit."""
    rows = len(tensors["now"])
    found: Tensors = {}
    for name in USER_TYPES:
        if (kind := name.split("_")[0]) in RAGGED:
            lengths = tensors[f"{kind}_length"].reshape(rows)
            found[name], found[f"{kind}_offsets"] = unpadded(name, tensors[name], lengths)
        else:
            found[name] = tensors[name]
    return UserBatch.from_tensors({**found, "now": found["now"].reshape(rows)})


def candidate_inputs() -> tuple[TensorConfig, ...]:
    return (
        tensor("candidate_length", "INT64", 1),
        tensor("candidate_item", "INT64", -1),
        tensor("candidate_score", "FP32", -1, len(SCORES)),
    )


def candidate_outputs(found: CandidateBatch) -> Tensors:
    offsets = found.candidate_offsets
    return {
        "candidate_length": np.diff(offsets).reshape(-1, 1),
        "candidate_item": padded(found.candidate_item, offsets, -1),
        "candidate_score": padded(found.candidate_score, offsets, np.nan),
    }

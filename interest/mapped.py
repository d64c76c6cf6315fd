"""Tensors of a safetensors file mapped read-only, so that the replicas of a node share their pages."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from interest.batch import Tensors
from interest.errors import InvalidRelease

_DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32, "U64": np.uint64}


def map_tensors(path: Path) -> Tensors:
    """Every tensor of the file as a read-only array over the mapped file; nothing is read before it is used.

    Raises `InvalidRelease` for a file that is no safetensors file or holds another element type.
    """
    try:
        with path.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(header_bytes, path.stat().st_size)))
        data = np.memmap(path, dtype=np.uint8, mode="r")
        return {
            name: _tensor(data, 8 + header_bytes, entry) for name, entry in header.items() if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError) as error:
        raise InvalidRelease(f"{path}: expected a safetensors file of numbers, found {error!r}") from error


def _tensor(data: "np.memmap[Any, np.dtype[np.uint8]]", start: int, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    begin, end = entry["data_offsets"]
    content: np.ndarray[Any, Any] = np.asarray(data[start + begin : start + end])
    return content.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])

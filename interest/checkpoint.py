"""Checkpoint: what an incremental fit of the interest model starts from, kept apart from what serving loads."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.sparse
from safetensors.numpy import load_file, save_file

from interest.batch import Longs, Tensors
from interest.errors import InvalidRelease
from interest.events import EVENT_TYPES
from interest.fitting import InterestSettings
from interest.store.protocol import EventColumns
from interest.sums import MATRICES, CutGrid, Sums

SCHEMA = 1  # grows when an older checkpoint can no longer be read rightly
_TENSORS = "sums.safetensors"
_SETTINGS = "checkpoint.json"
_SYMMETRIC = ("gram", "together")  # of which one half is kept


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The sums of a fit on the events it counted: those up to `seq`, earlier than `before`, of `known_keys`.

    `item_keys` ascending: the items of the sums, in their order.
    """

    settings: InterestSettings
    item_keys: Longs
    known_keys: Longs  # ascending: items that the catalogue knew and that had events
    seq: int
    before: float  # unix seconds, inf when the fit took every event
    now: float  # unix seconds: the end of the log, which the sums are weighted as of
    fingerprint: str  # of the events counted
    grid: CutGrid
    sums: Sums

    def counted(self, events: EventColumns) -> npt.NDArray[np.bool_]:
        """[n]: which of these events the sums were made of.

        Raises `InvalidRelease` unless all of them are still there as they were: what a user has since erased must not
        live on in new models.
        """
        counted = (
            (events.seq <= self.seq) & (events.timestamp < self.before) & np.isin(events.item_key, self.known_keys)
        )
        if fingerprint_of(events, counted) != self.fingerprint:
            raise InvalidRelease(
                f"checkpoint at log position {self.seq}: events it was made of have been erased or changed since; "
                "run a full training"
            )
        return counted

    def save(self, folder: Path) -> None:
        tensors: Tensors = {"item_keys": self.item_keys, "known_keys": self.known_keys}
        for name in MATRICES:
            matrix = getattr(self.sums, name)
            half = scipy.sparse.csr_array(scipy.sparse.triu(matrix)) if name in _SYMMETRIC else matrix
            tensors[f"{name}_data"] = half.data.astype(np.float32)
            tensors[f"{name}_indices"] = half.indices.astype(np.int32)
            tensors[f"{name}_indptr"] = half.indptr.astype(np.int64)
        save_file(tensors, folder / _TENSORS)
        content = {
            "schema": SCHEMA,
            "event_types": EVENT_TYPES,
            "settings": asdict(self.settings),
            "seq": self.seq,
            "before": None if np.isinf(self.before) else self.before,
            "now": self.now,
            "fingerprint": self.fingerprint,
            "grid": asdict(self.grid),
        }
        (folder / _SETTINGS).write_text(json.dumps(content, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path, settings: InterestSettings) -> "Checkpoint":
        """The saved checkpoint. Raises `InvalidRelease` when it is none, or one of other settings or another schema."""
        try:
            held = json.loads((folder / _SETTINGS).read_text("utf-8"))
            _require(folder, "schema", SCHEMA, held["schema"])
            _require(folder, "event types", list(EVENT_TYPES), held["event_types"])
            for name, wanted in asdict(settings).items():
                _require(folder, f"interest.{name}", wanted, held["settings"].get(name))
            tensors = load_file(folder / _TENSORS)
            return cls(
                settings,
                tensors["item_keys"],
                tensors["known_keys"],
                held["seq"],
                np.inf if held["before"] is None else held["before"],
                held["now"],
                held["fingerprint"],
                CutGrid(**held["grid"]),
                Sums(*(_matrix(tensors, name) for name in MATRICES)),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRelease(f"{folder}: expected a checkpoint, found {error!r}; run a full training") from error


def fingerprint_of(events: EventColumns, counted: npt.NDArray[np.bool_]) -> str:
    """sha256 over the columns of the events marked."""
    digest = hashlib.sha256()
    for field in fields(EventColumns):
        digest.update(getattr(events, field.name)[counted].tobytes())
    return digest.hexdigest()


def _matrix(tensors: Tensors, name: str) -> scipy.sparse.csr_array:
    items = len(tensors["item_keys"])
    held = (tensors[f"{name}_data"].astype(np.float64), tensors[f"{name}_indices"], tensors[f"{name}_indptr"])
    matrix = scipy.sparse.csr_array(held, shape=(items, items))
    if name not in _SYMMETRIC:
        return matrix
    return scipy.sparse.csr_array(matrix + scipy.sparse.triu(matrix, 1).T)


def _require(folder: Path, what: str, wanted: object, found: object) -> None:
    if found != wanted:
        raise InvalidRelease(f"{folder}: {what} expected {wanted}, found {found}; run a full training")

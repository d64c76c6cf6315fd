"""InterestModel: behaviour times learned weights gives the vector of what a user cares about."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.sparse
from safetensors.numpy import save_file

from interest.batch import Doubles, Floats, Longs, Tensors
from interest.errors import InvalidRelease
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.mapped import map_tensors

DAY_S = 86_400.0

TYPE_WEIGHTS: dict[EventType, float] = {
    EventType.VIEW: 0.1,
    EventType.IMPRESSION: 0.0,
    EventType.CLICK: 0.3,
    EventType.LIKE: 1.0,
    EventType.DISLIKE: -1.0,
    EventType.FAVORITE: 1.0,
    EventType.SHARE: 0.8,
    EventType.CART: 0.7,
    EventType.PURCHASE: 1.0,
    EventType.RATING: 0.8,
    EventType.COMMENT: 0.6,
    EventType.PORTION: 0.5,
    EventType.SKIP: -0.2,
    EventType.HIDE: -1.0,
}
"""Where learning starts, and what stands for types that a log has too few events of (see `interest.type_weights`)."""

TYPE_WEIGHT_BY_CODE: Doubles = np.array([TYPE_WEIGHTS[event_type] for event_type in EVENT_TYPES])
_TENSORS = "vectors.safetensors"
_SETTINGS = "model.json"


@dataclass(frozen=True, slots=True)
class BehaviourWeights:
    """Weight of a behaviour row: `type_weights` by event code x (1 + ln(count) / 4) x 2 ** (-age / half-life).

    The age is that of the row's last event.

    A portion counts by the mean share seen; a rating by its mean place between `rating_low` and `rating_high`
    (the 5th and 95th percentile of the log), from a quarter to all of the type's weight.
    """

    half_life_s: float
    rating_low: float = 0.0
    rating_high: float = 0.0
    type_weights: tuple[float, ...] = tuple(TYPE_WEIGHTS[event_type] for event_type in EVENT_TYPES)

    def of(
        self,
        event_type: npt.NDArray[np.int8],
        count: npt.NDArray[np.int32],
        value: Doubles,
        last_at: Doubles,
        now: Doubles,
    ) -> Doubles:
        """Arrays of n rows, `value` summed over the row's `count` events, times in unix seconds -> weights [n].

        An event after `now` counts as of `now`: the clock of features is rounded down.
        """
        decay = np.exp2(-np.maximum(now - last_at, 0.0) / self.half_life_s)
        strength = np.array(self.type_weights)[event_type] * self._value_share(event_type, value / np.maximum(count, 1))
        weights: Doubles = strength * decay * (1.0 + 0.25 * np.log(np.maximum(count, 1)))
        return weights

    def _value_share(self, event_type: npt.NDArray[np.int8], mean_value: Doubles) -> Doubles:
        share = np.ones(len(event_type))
        portion = event_type == EVENT_CODES[EventType.PORTION]
        share[portion] = np.clip(mean_value[portion], 0.0, 1.0)
        rating = event_type == EVENT_CODES[EventType.RATING]
        span = self.rating_high - self.rating_low
        if span > 0:
            share[rating] = 0.25 + 0.75 * np.clip((mean_value[rating] - self.rating_low) / span, 0.0, 1.0)
        return share


HEADS = ("next", "together")
"""What a half of the vectors predicts: what users do next for the first time; what users have to do with together."""

STATISTICS = ("users", "acts_per_user", "repeat_share", "repeat_gap", "value")
"""Of an item: ln(1 + users who acted on it); acts per such user; share of them who did again, drawn to a prior of a
tenth; mean ln(1 + days) between two acts of a user, NaN without; mean ln(1 + value) of purchases and ratings."""


class InterestModel:
    """Low-rank linear item-item models side by side: head h scores user_vector(u)[h] . output_vectors[j][h].

    `item_ids[i]` names row i of `input_vectors` and `output_vectors`, both float32 [n, D] and read-only by custom; the
    D columns are cut into `heads` equal parts. `statistics` float32 [n, len(STATISTICS)], NaN where unknown.
    """

    def __init__(
        self,
        item_ids: Sequence[str],
        input_vectors: Floats,
        output_vectors: Floats,
        weights: BehaviourWeights,
        heads: int = 1,
        statistics: Floats | None = None,
    ) -> None:
        if not len(item_ids) == len(input_vectors) == len(output_vectors):
            raise InvalidRelease(
                f"interest model: {len(item_ids)} item ids, {len(input_vectors)} input and "
                f"{len(output_vectors)} output vectors: must be as many"
            )
        self.item_ids = tuple(item_ids)
        self.input_vectors = input_vectors
        self.output_vectors = output_vectors
        self.weights = weights
        self.heads = heads
        if input_vectors.shape[1] % heads:
            raise InvalidRelease(f"interest model: {input_vectors.shape[1]} dimensions do not make {heads} equal heads")
        unknown = np.full((len(item_ids), len(STATISTICS)), np.nan, dtype=np.float32)
        self.statistics = unknown if statistics is None else statistics

    @property
    def dims(self) -> int:
        return int(self.input_vectors.shape[1])

    def user_vectors(self, offsets: Longs, rows: Longs, weights: Doubles) -> Floats:
        """Interest vectors float32 [B, D] of users whose behaviour is ragged.

        `rows` are model rows (-1: not in the model, ignored) and `weights` the behaviour weights, both [n] and cut by
        `offsets` [B + 1]. A vector is the weighted sum of input vectors over the root of the sum of squared weights;
        zero when no weight is positive. The sum runs row by row, so a user's vector does not depend on the batch.
        """
        known = rows >= 0
        counts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(known, out=counts[1:])
        kept = weights[known]
        starts = counts[offsets]
        behaviour = scipy.sparse.csr_array(
            (kept.astype(np.float32), rows[known], starts), shape=(len(offsets) - 1, len(self.item_ids))
        )
        user = np.repeat(np.arange(len(offsets) - 1), np.diff(starts))
        square = np.bincount(user, kept * kept, minlength=len(offsets) - 1)
        positive = np.bincount(user, kept > 0, minlength=len(offsets) - 1) > 0
        scale = np.where(positive, 1.0 / np.sqrt(np.where(square > 0, square, 1.0)), 0.0)
        sums: Floats = behaviour @ self.input_vectors
        return sums * scale.astype(np.float32)[:, None]

    def save(self, folder: Path) -> None:
        tensors: Tensors = {
            "input_vectors": self.input_vectors,
            "output_vectors": self.output_vectors,
            "statistics": self.statistics,
        }
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / _TENSORS)
        settings = {"item_ids": self.item_ids, "weights": asdict(self.weights), "heads": self.heads}
        (folder / _SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "InterestModel":
        """The saved model over memory-mapped vectors. Raises `InvalidRelease` when the folder holds none."""
        tensors = map_tensors(folder / _TENSORS)
        try:
            settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
            held = settings["weights"]
            weights = BehaviourWeights(**{**held, "type_weights": tuple(held["type_weights"])})
            return cls(
                settings["item_ids"],
                tensors["input_vectors"],
                tensors["output_vectors"],
                weights,
                settings["heads"],
                tensors["statistics"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRelease(f"{folder}: expected an interest model, found {error!r}") from error

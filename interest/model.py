"""InterestModel: behaviour times learned weights gives the vector of what a user cares about."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse
from safetensors.numpy import save_file

from interest.batch import Doubles, Floats, Longs, Tensors
from interest.errors import InvalidRelease
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.mapped import map_tensors
from interest.store.protocol import EventColumns

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
TYPE_WEIGHT_BY_CODE: Doubles = np.array([TYPE_WEIGHTS[event_type] for event_type in EVENT_TYPES])
_TENSORS = "vectors.safetensors"
_SETTINGS = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestSettings:
    """How the model is fitted and how a user's behaviour is weighted; the defaults are tuned on validation data.

    `max_items`: EASE inverts a dense matrix, so only the items with the most users enter it (6,000: 288 MB and
    about 20 seconds of one core). The others have no collaborative vector and come through content and popularity.
    """

    rank: int = 256
    l2: float = 300.0
    fit_half_life_s: float = 60 * DAY_S
    user_half_life_s: float = 180 * DAY_S
    max_items: int = 6_000
    rounds: int = 2


@dataclass(frozen=True, slots=True)
class BehaviourWeights:
    """Weight of a behaviour row: type x (1 + ln(count) / 4) x 2 ** (-age of the last event / half-life).

    A portion counts by the mean share seen; a rating by its mean place between `rating_low` and `rating_high`
    (the 5th and 95th percentile of the log), from a quarter to all of the type's weight.
    """

    half_life_s: float
    rating_low: float = 0.0
    rating_high: float = 0.0

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
        strength = TYPE_WEIGHT_BY_CODE[event_type] * self._value_share(event_type, value / np.maximum(count, 1))
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


class InterestModel:
    """A low-rank linear item-item model: score(u, j) = user_vector(u) . output_vectors[j].

    `item_ids[i]` names row i of `input_vectors` and `output_vectors`, both float32 [n, D] and read-only by custom.
    """

    def __init__(
        self, item_ids: Sequence[str], input_vectors: Floats, output_vectors: Floats, weights: BehaviourWeights
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
        tensors: Tensors = {"input_vectors": self.input_vectors, "output_vectors": self.output_vectors}
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / _TENSORS)
        settings = {"item_ids": self.item_ids, "weights": asdict(self.weights)}
        (folder / _SETTINGS).write_text(json.dumps(settings, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "InterestModel":
        """The saved model over memory-mapped vectors. Raises `InvalidRelease` when the folder holds none."""
        tensors = map_tensors(folder / _TENSORS)
        try:
            settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
            weights = BehaviourWeights(**settings["weights"])
            return cls(settings["item_ids"], tensors["input_vectors"], tensors["output_vectors"], weights)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRelease(f"{folder}: expected an interest model, found {error!r}") from error


def fit_interest_model(
    events: EventColumns,
    item_keys: Longs,
    item_ids: Sequence[str],
    now: float,
    settings: InterestSettings,
    rng: np.random.Generator,
) -> InterestModel:
    """EASE on the users x items matrix of the events up to `now`, factorised at rank min(D, items).

    An entry of the matrix is the greatest type weight x decay among the pair's positive events. `item_keys`
    (ascending) and `item_ids` name the items to model; events of other items are left out.
    Sources: Steck, H. (2019), "Embarrassingly Shallow Autoencoders for Sparse Data", eq. 8; the rank-D factors are the
    reduced-rank regression of the predictions (best rank-D fit of X B), found by the randomised range finder of
    Halko, N., Martinsson, P., Tropp, J. (2011), algorithm 4.4.
    """
    ratings = events.value[(events.event_type == EVENT_CODES[EventType.RATING]) & (events.timestamp <= now)]
    ratings = ratings[~np.isnan(ratings)]
    low, high = np.percentile(ratings, [5, 95]) if len(ratings) else (0.0, 0.0)
    weights = BehaviourWeights(settings.user_half_life_s, float(low), float(high))
    matrix, kept = _user_item_matrix(events, item_keys, now, settings)
    input_vectors, output_vectors = _low_rank(matrix, _ease(matrix, settings.l2), settings, rng)
    return InterestModel([item_ids[row] for row in kept], input_vectors, output_vectors, weights)


def _user_item_matrix(
    events: EventColumns, item_keys: Longs, now: float, settings: InterestSettings
) -> tuple[scipy.sparse.csr_array, Longs]:
    """float32 [users, kept items] and the kept items' places in `item_keys`, ascending."""
    weight = TYPE_WEIGHT_BY_CODE[events.event_type] * np.exp2((events.timestamp - now) / settings.fit_half_life_s)
    item = np.searchsorted(item_keys, events.item_key)
    item[item == len(item_keys)] = 0
    use = (weight > 0) & (events.timestamp <= now)
    use &= item_keys[item] == events.item_key if len(item_keys) else False
    users, user = np.unique(events.user_key[use], return_inverse=True)
    item, weight = item[use], weight[use]
    order = np.lexsort((weight, item, user))
    user, item, weight = user[order], item[order], weight[order]
    last = np.ones(len(order), dtype=np.bool_)  # the greatest weight of a (user, item) pair is its last row
    last[:-1] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
    user, item, weight = user[last], item[last], weight[last]
    popularity = np.bincount(item, minlength=len(item_keys))
    kept = np.sort(np.argsort(-popularity, kind="stable")[: settings.max_items])
    kept = kept[popularity[kept] > 0]
    place = np.full(len(item_keys), -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    inside = place[item] >= 0
    entries = (weight[inside].astype(np.float32), (user[inside], place[item[inside]]))
    return scipy.sparse.csr_array(entries, shape=(len(users), len(kept))), kept


def _ease(matrix: scipy.sparse.csr_array, l2: float) -> Floats:
    """Item-item weights B, float32 [n, n] with a zero diagonal: Steck (2019), eq. 8."""
    gram: Doubles = (matrix.T @ matrix).toarray().astype(np.float64)
    if len(gram) == 0:
        return np.zeros((0, 0), dtype=np.float32)
    gram[np.diag_indices_from(gram)] += l2
    factor, _ = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights: Floats = (inverse / -np.diag(inverse)).astype(np.float32)
    weights[np.diag_indices_from(weights)] = 0.0
    return weights


def _low_rank(
    matrix: scipy.sparse.csr_array, weights: Floats, settings: InterestSettings, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Input and output vectors float32 [n, D] with input @ output.T the best rank-D stand-in for B on these users."""
    items = len(weights)
    rank = max(1, min(settings.rank, items))
    if items == 0:
        return np.zeros((0, rank), dtype=np.float32), np.zeros((0, rank), dtype=np.float32)
    basis: Floats = rng.standard_normal((items, min(items, rank + 20)), dtype=np.float32)
    for _ in range(settings.rounds):
        basis = np.linalg.qr(weights.T @ (matrix.T @ (matrix @ (weights @ basis))))[0]
    predicted = matrix @ (weights @ basis)
    _, rotation = np.linalg.eigh((predicted.T @ predicted).astype(np.float64))
    output: Floats = np.ascontiguousarray((basis @ rotation[:, ::-1][:, :rank]).astype(np.float32))
    return np.ascontiguousarray(weights @ output), output

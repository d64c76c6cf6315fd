"""What a baseline is: settings to choose from, a fit, and a score of every item for every request."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Generic, Protocol, TypeVar

import numpy as np

from interest.batch import Floats, Longs
from ranking.baselines.data import Requests, World

Setting = float | str | None
Settings = Mapping[str, Setting]
Model = TypeVar("Model")

REQUESTS_AT_ONCE = 256


class Scorer(Protocol):
    """A fitted baseline."""

    def scores(self, requests: Requests) -> Floats:
        """float32 [B, items] of the world's items, best highest; whatever scores 0 or less is not recommended."""


class Baseline(Protocol):
    """A way to rank that Attune is measured against."""

    @property
    def name(self) -> str: ...

    @property
    def grid(self) -> Sequence[Settings]:
        """The settings it is tuned over, those that share a fit side by side."""

    def fit(self, world: World, settings: Settings) -> Scorer:
        """Learn from the world's fitted interactions. Equal worlds and settings give equal scorers."""


class LastFit(Generic[Model]):
    """Remembers the model that was fitted last: settings that share a fit stand side by side in a grid."""

    def __init__(self) -> None:
        self._held: tuple[World, object, Model] | None = None

    def get_or_make(self, world: World, key: object, make: Callable[[], Model]) -> Model:
        """The model of this world and key, made now unless it was the last one."""
        if self._held is None or self._held[0] is not world or self._held[1] != key:
            self._held = None  # two of them at once may not fit beside a server
            self._held = (world, key, make())
        return self._held[2]


def grid(**values: Iterable[Setting]) -> tuple[Settings, ...]:
    """Every combination; the last name varies fastest."""
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in product(*values.values()))


def number(settings: Settings, name: str) -> float:
    """A setting that must be a number."""
    value = settings[name]
    assert isinstance(value, int | float), f"{name}={value!r}: must be a number"
    return float(value)


def optional(settings: Settings, name: str) -> float | None:
    """A setting that is a number or None."""
    return None if settings[name] is None else number(settings, name)


def rank(scores: Floats, requests: Requests, k: int) -> Longs:
    """Item rows int64 [B, k], best first, ties by the lower row, padded with -1; nothing that scores 0 or less."""
    best = np.full((len(scores), k), -1, dtype=np.int64)
    for start in range(0, len(scores), REQUESTS_AT_ONCE):
        part = np.array(scores[start : start + REQUESTS_AT_ONCE], dtype=np.float32)
        if requests.exclude_seen:
            seen = (requests.history.user >= start) & (requests.history.user < start + len(part))
            part[requests.history.user[seen] - start, requests.history.item[seen]] = -np.inf
        best[start : start + len(part), : min(k, part.shape[1])] = _best(part, k)
    return best


def _best(scores: Floats, k: int) -> Longs:
    """The first k of each row; everything that ties with the k-th is looked at, so that the lower row wins."""
    users, items = scores.shape
    k = min(k, items)
    threshold = np.partition(scores, items - k, axis=1)[:, items - k] if k else np.zeros(users, dtype=np.float32)
    table = np.full((users, k), -1, dtype=np.int64)
    for user in range(users):
        rows = np.flatnonzero((scores[user] >= threshold[user]) & (scores[user] > 0))
        chosen = rows[np.argsort(-scores[user, rows], kind="stable")[:k]]
        table[user, : len(chosen)] = chosen
    return table

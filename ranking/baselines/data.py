"""What baselines are fitted on and asked: interactions, the world around them, and requests with their histories."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse

from interest.batch import Doubles, Floats, Longs

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Interactions:
    """n acts of users on items; `user` and `item` are numbers from 0, `time` is in unix seconds."""

    user: Longs  # [n]
    item: Longs  # [n]
    time: Doubles  # [n]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Longs | npt.NDArray[np.bool_]) -> "Interactions":
        """These interactions, in this order."""
        return Interactions(self.user[rows], self.item[rows], self.time[rows])

    def by_time(self) -> "Interactions":
        """The same in order of time."""
        return self.take(np.argsort(self.time, kind="stable"))


@dataclass(frozen=True, slots=True)
class World:
    """Everything a baseline may know before it is asked.

    `fitted` is what models learn from. `live`, in order of time, is what counters may count: each request sees the
    part up to its own instant. `texts` and `embeddings` describe the items of the catalogue.
    """

    users: int
    items: int
    fitted: Interactions
    live: Interactions
    texts: Sequence[str]  # [items]
    embeddings: Floats = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))  # [items, E] unit or zero

    @property
    def fitted_until(self) -> float:
        """Time of the newest fitted interaction, unix seconds; 0 without any."""
        return float(self.fitted.time.max(initial=0.0))


@dataclass(frozen=True, slots=True)
class Requests:
    """B requests: who asks when, what they did up to then, and whether that is left out of the ranking.

    `history.user` is the place of the request (0 to B - 1); its rows are ordered by request, then by time.
    """

    user: Longs  # [B] user numbers of the world, -1 for somebody who is not in it
    as_of: Doubles  # [B] unix seconds
    history: Interactions
    exclude_seen: bool

    def __len__(self) -> int:
        return len(self.as_of)

    def ages_s(self) -> Doubles:
        """Seconds from each act of the histories to its request."""
        return self.as_of[self.history.user] - self.history.time


def requests_of(user: Longs, as_of: Doubles, live: Interactions, exclude_seen: bool) -> Requests:
    """Requests of these world users as of these instants, with their part of `live` as history."""
    order = np.lexsort((live.time, live.user))
    acts = live.take(order)
    starts = np.searchsorted(acts.user, user, side="left")
    ends = np.searchsorted(acts.user, user, side="right")
    rows = [
        np.arange(start, start + np.searchsorted(acts.time[start:end], instant, side="right"))
        for start, end, instant in zip(starts, ends, as_of, strict=True)
    ]
    place = np.repeat(np.arange(len(user)), [len(part) for part in rows])
    chosen = np.concatenate([np.zeros(0, dtype=np.int64), *rows]).astype(np.int64)
    return Requests(user, as_of, Interactions(place, acts.item[chosen], acts.time[chosen]), exclude_seen)


def decayed(ages_s: Doubles, half_life_days: float | None) -> Doubles:
    """2 ** (-age / half-life); 1 for every age without a half-life. Negative ages count as 0."""
    if half_life_days is None:
        return np.ones(len(ages_s))
    weights: Doubles = np.exp2(-np.maximum(ages_s, 0.0) / (half_life_days * DAY_S))
    return weights


def latest_matrix(rows: Interactions, weights: Doubles, shape: tuple[int, int]) -> scipy.sparse.csr_matrix:
    """float32 [users, items]: of each pair the weight of its latest act (weights must not fall with time)."""
    order = np.lexsort((rows.time, rows.item, rows.user))
    user, item = rows.user[order], rows.item[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
    values = weights[order][last].astype(np.float32)
    return scipy.sparse.csr_matrix((values, (user[last], item[last])), shape=shape)


def summed_matrix(rows: Interactions, weights: Doubles, shape: tuple[int, int]) -> scipy.sparse.csr_matrix:
    """float32 [users, items]: the sum of the weights of each pair's acts."""
    return scipy.sparse.csr_matrix((weights.astype(np.float32), (rows.user, rows.item)), shape=shape)


def fitted_matrix(world: World, half_life_days: float | None) -> scipy.sparse.csr_matrix:
    """The fitted interactions [users, items], each pair once, decayed to the newest of them."""
    weights = decayed(world.fitted_until - world.fitted.time, half_life_days)
    return latest_matrix(world.fitted, weights, (world.users, world.items))


def history_matrix(requests: Requests, items: int, half_life_days: float | None) -> scipy.sparse.csr_matrix:
    """The histories [B, items], each item once, decayed to the instant of the request."""
    return latest_matrix(requests.history, decayed(requests.ages_s(), half_life_days), (len(requests), items))

"""Next acts: what users had done by an instant beside what they then did for the first time, as sparse matrices."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse

from interest.batch import Doubles, Longs
from interest.model import TYPE_WEIGHT_BY_CODE, BehaviourWeights
from interest.store.protocol import EventColumns

ACT_WEIGHT = 0.3  # events of at least this type weight are acts: a click, not a view
FEWEST_STEPS = 20  # a log shorter than this many steps is cut into smaller ones
OLDEST_HALF_LIVES = 4.0  # cuts further back weigh next to nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """At which instants histories are looked at: every `step_s` back from now; a cut weighs half after `half_life_s`.

    What a user does first within `horizon_s` of a cut is what the history at the cut should tell. Of more than
    `max_rows` rows of all cuts so many are kept by chance.
    """

    step_s: float
    horizon_s: float
    half_life_s: float
    max_rows: int


@dataclass(frozen=True, slots=True)
class ActPairs:
    """One row per (cut, user): both float32 [rows, items], times the root of the row's weight.

    `before`: behaviour weights as of the cut, over the root of the sum of their squares (unless asked for as they
    stand), so that a row is what `InterestModel.user_vectors` sums. `after`: 1 for items acted on within the horizon
    that the user had not met.
    """

    before: scipy.sparse.csr_array
    after: scipy.sparse.csr_array
    user: Longs  # [rows] user keys


@dataclass(frozen=True, slots=True)
class History:
    """Events of modelled items up to `now`, by (user, item, type, time); `item` counts the modelled items."""

    user: Longs
    item: Longs
    event_type: npt.NDArray[np.int8]
    time: Doubles
    until: Doubles  # time of the next event of the same user, item and type; inf for the last one
    count: npt.NDArray[np.int32]  # of the user, item and type up to and with this event
    value: Doubles  # the same for the sum of the values
    items: int

    def of_users(self, remainder: int) -> "History":
        """The events of every second user: those whose key leaves this remainder when divided by 2."""
        return self.where(self.user % 2 == remainder)

    def where(self, kept: npt.NDArray[np.bool_]) -> "History":
        """The events marked in `kept` [n]: all of a user's or none."""
        names = ("user", "item", "event_type", "time", "until", "count", "value")
        return replace(self, **{name: getattr(self, name)[kept] for name in names})

    @classmethod
    def of(cls, events: EventColumns, item: Longs, items: int, now: float) -> "History":
        """`item` [n]: place of each event's item among the modelled ones, -1 to leave the event out."""
        use = (events.timestamp <= now) & (item >= 0) & (TYPE_WEIGHT_BY_CODE[events.event_type] != 0)
        user, time, kind = events.user_key[use], events.timestamp[use], events.event_type[use]
        order = np.lexsort((time, kind, item[use], user))
        user, time, kind, place = user[order], time[order], kind[order], item[use][order]
        value = np.nan_to_num(events.value[use][order])
        same = (user[1:] == user[:-1]) & (place[1:] == place[:-1]) & (kind[1:] == kind[:-1])
        begins = np.append(True, ~same) if len(user) else np.zeros(0, dtype=np.bool_)
        start = np.flatnonzero(begins)[np.cumsum(begins) - 1] if len(user) else np.zeros(0, dtype=np.int64)
        until = np.full(len(user), np.inf)
        until[:-1][same] = time[1:][same]
        sums = np.cumsum(value)
        count = (np.arange(len(user)) - start + 1).astype(np.int32)
        return cls(user, place, kind, time, until, count, sums - sums[start] + value[start], items)


def act_pairs(
    history: History,
    weights: BehaviourWeights,
    now: float,
    cuts: Cuts,
    rng: np.random.Generator,
    unit: bool = True,
) -> ActPairs:
    """Rows of every cut before `now` (unix seconds), back to the start of the log; `unit`: see `ActPairs`."""
    parts = list(_cut_pairs(history, weights, now, cuts, unit))
    nothing = scipy.sparse.csr_array((0, history.items), dtype=np.float32)
    before = scipy.sparse.vstack([nothing, *(part.before for part in parts)], format="csr")
    after = scipy.sparse.vstack([nothing, *(part.after for part in parts)], format="csr")
    user = np.concatenate([np.zeros(0, dtype=np.int64), *(part.user for part in parts)])
    if before.shape[0] > cuts.max_rows:
        kept = np.sort(rng.permutation(before.shape[0])[: cuts.max_rows])
        before, after, user = before[kept], after[kept], user[kept]
    return ActPairs(before, after, user)


def cut_times(history: History, now: float, cuts: Cuts) -> tuple[float, list[float]]:
    """Seconds from one cut to the next, and the instants of all cuts, newest first."""
    if not len(history.time):
        return cuts.step_s, []
    oldest = max(float(history.time.min()), now - OLDEST_HALF_LIVES * cuts.half_life_s)
    step = min(cuts.step_s, max(now - oldest, 1.0) / FEWEST_STEPS)
    return step, np.arange(now - step, oldest, -step).tolist()


def _cut_pairs(history: History, weights: BehaviourWeights, now: float, cuts: Cuts, unit: bool) -> Iterator[ActPairs]:
    for cut in cut_times(history, now, cuts)[1]:
        yield weighted_pairs(history, weights, cut, now, cuts, unit)


def weighted_pairs(
    history: History, weights: BehaviourWeights, cut: float, now: float, cuts: Cuts, unit: bool = True
) -> ActPairs:
    """The rows of one cut (unix seconds, before `now`), one for each of its users, by user."""
    pairs = _pairs(history, weights, cut, min(cut + cuts.horizon_s, now), unit)
    scale = np.float32(np.exp2((cut - now) / cuts.half_life_s / 2))
    return ActPairs(pairs.before * scale, pairs.after * scale, pairs.user)


def _pairs(history: History, weights: BehaviourWeights, cut: float, end: float, unit: bool) -> ActPairs:
    """Rows of the users with behaviour before `cut` and an act on something new in [cut, end], by user."""
    wanted = TYPE_WEIGHT_BY_CODE[history.event_type] >= ACT_WEIGHT
    later = np.flatnonzero(wanted & (history.time >= cut) & (history.time <= end))
    known = np.flatnonzero((history.time < cut) & (history.until >= cut))
    pair = history.user * history.items + history.item  # ascending, as the history is
    fresh = later[~_among(pair[known], pair[later])]
    fresh = fresh[_among(history.user[known], history.user[fresh])]
    fresh = fresh[_firsts(pair[fresh])]
    users = history.user[fresh][_firsts(history.user[fresh])]
    row = np.searchsorted(users, history.user[fresh])
    known = known[_among(users, history.user[known])]
    shape = (len(users), history.items)
    after = scipy.sparse.csr_array((np.ones(len(fresh), dtype=np.float32), (row, history.item[fresh])), shape=shape)
    owner = np.searchsorted(users, history.user[known])
    weight = weights.of(
        history.event_type[known],
        history.count[known],
        history.value[known],
        history.time[known],
        np.full(len(known), cut),
    )
    square = np.bincount(owner, weight * weight, minlength=len(users))
    length = np.sqrt(np.where(square > 0, square, 1.0)) if unit else np.ones(len(users))
    before = scipy.sparse.csr_array(
        ((weight / length[owner]).astype(np.float32), (owner, history.item[known])), shape=shape
    )
    return ActPairs(before, after, users)


def _among(ascending: Longs, values: Longs) -> npt.NDArray[np.bool_]:
    """[n]: which of the values are there; much faster than `np.isin`, which cannot know that they are sorted."""
    if not len(ascending):
        return np.zeros(len(values), dtype=np.bool_)
    found: npt.NDArray[np.bool_] = ascending[np.searchsorted(ascending[:-1], values)] == values
    return found


def _firsts(ascending: Longs) -> npt.NDArray[np.bool_]:
    """[n]: the first of every run of equal values."""
    firsts = np.ones(len(ascending), dtype=np.bool_)
    firsts[1:] = ascending[1:] != ascending[:-1]
    return firsts

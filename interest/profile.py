"""InterestProfile: what one user did and declared, folded from the log so that order and repeats do not matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from interest.events import Facet

HALF_LIVES_S: tuple[float, ...] = (3 * 86_400.0, 30 * 86_400.0, 180 * 86_400.0)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row per (item, event type), sorted by (item_key, event_type). All arrays have n rows.

    `item_key` is the store's stable integer for an item id (also for items not yet in the catalogue).
    `decayed[:, j]` is sum(2 ** (-(last_at - t_i) / HALF_LIVES_S[j])) over the row's events: referred to the row's
    own latest event, so that it never overflows and merging two rows is commutative and associative.
    """

    item_key: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int8]
    count: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]  # sum of the events' values (missing counts as 0)
    first_at: npt.NDArray[np.float64]  # unix seconds
    last_at: npt.NDArray[np.float64]  # unix seconds
    decayed: npt.NDArray[np.float64]  # [n, len(HALF_LIVES_S)]


_COLUMNS = tuple(column.name for column in fields(Behaviour))


@dataclass(frozen=True, slots=True)
class Declaration:
    """The latest edit of one facet; `weight` None means taken back."""

    weight: float | None
    timestamp: float
    record_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestProfile:
    """Behaviour, declared interests and keywords of comments: no vectors, so a new model rewrites no profile."""

    user_id: str
    behaviour: Behaviour
    declared: dict[Facet, Declaration] = field(default_factory=dict)
    cleared: tuple[float, str] | None = None  # (timestamp, record_id) of the latest replacing edit
    keywords: dict[str, tuple[float, float]] = field(default_factory=dict)  # of comments: (decayed 30 days, last_at)
    events: int = 0
    updated_at: float = 0.0  # unix seconds of the latest record


def empty_behaviour() -> Behaviour:
    """No rows."""
    return behaviour_of_events(np.zeros(0, np.int64), np.zeros(0, np.int8), np.zeros(0), np.zeros(0))


def empty_profile(user_id: str) -> InterestProfile:
    """The profile of a user without any record."""
    return InterestProfile(user_id=user_id, behaviour=empty_behaviour())


def declared_interests(profile: InterestProfile) -> dict[Facet, float]:
    """The declarations that hold, with weights 0 to 1: neither taken back nor older than the latest replacing edit."""
    floor = profile.cleared or (-np.inf, "")
    return {
        facet: found.weight
        for facet, found in profile.declared.items()
        if found.weight is not None and (found.timestamp, found.record_id) >= floor
    }


def latest_edit_at(profile: InterestProfile) -> float:
    """Time of the user's latest edit, unix seconds; -inf when they declared nothing yet."""
    cleared = [profile.cleared[0]] if profile.cleared else []
    return max([found.timestamp for found in profile.declared.values()] + cleared, default=-np.inf)


def behaviour_of_events(
    item_key: npt.NDArray[np.int64],
    event_type: npt.NDArray[np.int8],
    timestamp: npt.NDArray[np.float64],
    value: npt.NDArray[np.float64],
) -> Behaviour:
    """One row per event, unsorted and unmerged: what `reduce_behaviour` takes. A value of NaN counts as 0."""
    return Behaviour(
        item_key=item_key,
        event_type=event_type,
        count=np.ones(len(item_key), dtype=np.int32),
        value=np.where(np.isnan(value), 0.0, value),
        first_at=timestamp,
        last_at=timestamp,
        decayed=np.ones((len(item_key), len(HALF_LIVES_S))),
    )


def merge_behaviour(left: Behaviour, right: Behaviour) -> Behaviour:
    """The behaviour of the events of both. Commutative and associative (up to rounding)."""
    rows = concatenated([left, right])
    return reduce_behaviour(np.zeros(len(rows.item_key), dtype=np.int64), rows)[1]


def reduce_behaviour(user: npt.NDArray[np.int64], rows: Behaviour) -> tuple[npt.NDArray[np.int64], Behaviour]:
    """Merge rows of one (user, item, type) into one; the result is sorted by (user, item, type).

    `user` [n] says whose each row is. Returns the user of each merged row, and those rows.
    """
    if not len(user):
        return user, rows
    order = np.lexsort((rows.event_type, rows.item_key, user))
    user, item_key, event_type = user[order], rows.item_key[order], rows.event_type[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (user[1:] != user[:-1]) | (item_key[1:] != item_key[:-1]) | (event_type[1:] != event_type[:-1])
    starts = np.flatnonzero(fresh)
    group = np.cumsum(fresh) - 1
    each_last = rows.last_at[order]
    last_at = np.maximum.reduceat(each_last, starts)
    age_s = last_at[group] - each_last
    decay = np.exp2(-age_s[:, None] / np.array(HALF_LIVES_S))
    return user[starts], Behaviour(
        item_key=item_key[starts],
        event_type=event_type[starts],
        count=np.add.reduceat(rows.count[order], starts, dtype=np.int32),
        value=np.add.reduceat(rows.value[order], starts),
        first_at=np.minimum.reduceat(rows.first_at[order], starts),
        last_at=last_at,
        decayed=np.add.reduceat(rows.decayed[order] * decay, starts, axis=0),
    )


def concatenated(parts: Sequence[Behaviour]) -> Behaviour:
    """The rows of all parts (at least one), one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Behaviour(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))


def sliced(rows: Behaviour, part: slice) -> Behaviour:
    """Some of the rows."""
    return Behaviour(*(getattr(rows, name)[part] for name in _COLUMNS))

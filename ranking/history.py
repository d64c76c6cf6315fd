"""What each user did with each candidate item: the join of ragged behaviour and ragged candidates."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Longs, UserBatch
from interest.events import EVENT_CODES, EVENT_TYPES, EventType
from interest.model import TYPE_WEIGHT_BY_CODE
from interest.profile import HALF_LIVES_S

GLANCES = (EventType.VIEW, EventType.CLICK, EventType.PORTION)

SESSION_S = 6 * 3_600.0  # acts within one such stretch of the clock are one visit
BUCKETS = 1 << 24  # more stretches than any time has

_POSITIVE: npt.NDArray[np.bool_] = TYPE_WEIGHT_BY_CODE > 0
_GLANCE: npt.NDArray[np.bool_] = np.array([event_type in GLANCES for event_type in EVENT_TYPES])
_NEGATIVE: npt.NDArray[np.bool_] = TYPE_WEIGHT_BY_CODE < 0
_PURCHASE = EVENT_CODES[EventType.PURCHASE]


@dataclass(frozen=True, slots=True)
class PairHistory:
    """One row per (user, item) pair with behaviour, ascending by `pair` = user x stride + item key.

    An act is a positive event that is no glance (view, click, portion). Times are unix seconds, -inf or inf where
    there is none.
    """

    stride: int
    pair: Longs
    user: Longs
    acts: Doubles  # number of acts
    glances: Doubles
    negatives: Doubles
    quantity: Doubles  # sum of the values of purchases
    first_act: Doubles
    last_act: Doubles
    last_purchase: Doubles
    last_glance: Doubles
    bucket: Longs  # ascending: user x BUCKETS + stretch of `SESSION_S` in which one of the user's acts began or ended
    decayed: Doubles  # [pairs, len(HALF_LIVES_S)] sums of type weight x decay to `now` over positive events

    def sessions(self, users: int) -> Longs:
        """Stretches with acts of each user, [users]. Acts between a pair's first and last are not known."""
        return np.bincount(self.bucket // BUCKETS, minlength=users)

    def sessions_until(self, user: Longs, time: Doubles) -> Longs:
        """How many of the user's stretches began no later than that of `time` (unix seconds, not NaN), [n]."""
        found: Longs = np.searchsorted(self.bucket, user * BUCKETS + _stretch(time), side="right")
        return found - np.searchsorted(self.bucket, user * BUCKETS)

    def find(self, user: Longs, item: Longs) -> Longs:
        """Row of each (user, item key), -1 where the user has no behaviour with the item."""
        wanted = user * self.stride + item
        rows = np.searchsorted(self.pair, wanted)
        rows[rows == len(self.pair)] = 0
        hit = self.pair[rows] == wanted if len(self.pair) else np.zeros(len(wanted), dtype=np.bool_)
        hit &= item < self.stride
        return np.where(hit, rows, -1)


def pair_history(users: UserBatch) -> PairHistory:
    """Behaviour of a batch summed over event types; linear in its rows."""
    lengths = np.diff(users.behaviour_offsets)
    user = np.repeat(np.arange(len(lengths)), lengths)
    item = users.behaviour_item
    stride = int(item.max(initial=0)) + 1
    key = user * stride + item
    starts = np.flatnonzero(np.diff(key, prepend=-1))  # rows are sorted by (user, item, type)
    event_type, count = users.behaviour_type, users.behaviour_count.astype(np.float64)
    glance = _GLANCE[event_type]
    act = _POSITIVE[event_type] & ~glance
    now = users.now[user]
    return PairHistory(
        stride=stride,
        pair=key[starts],
        user=user[starts],
        acts=_sum(np.where(act, count, 0.0), starts),
        glances=_sum(np.where(glance, count, 0.0), starts),
        negatives=_sum(np.where(_NEGATIVE[event_type], count, 0.0), starts),
        quantity=_sum(np.where(event_type == _PURCHASE, users.behaviour_value, 0.0), starts),
        first_act=-_max(np.where(act, -users.behaviour_first_at, -np.inf), starts),
        last_act=_max(np.where(act, users.behaviour_last_at, -np.inf), starts),
        last_purchase=_max(np.where(event_type == _PURCHASE, users.behaviour_last_at, -np.inf), starts),
        last_glance=_max(np.where(glance, users.behaviour_last_at, -np.inf), starts),
        bucket=_buckets(user[act], users.behaviour_first_at[act], users.behaviour_last_at[act]),
        decayed=_decayed(users, now, starts),
    )


def _buckets(user: Longs, first_at: Doubles, last_at: Doubles) -> Longs:
    return np.unique(np.concatenate([user * BUCKETS + _stretch(first_at), user * BUCKETS + _stretch(last_at)]))


def _stretch(time: Doubles) -> Longs:
    return np.clip(time // SESSION_S, 0, BUCKETS - 1).astype(np.int64)


def _decayed(users: UserBatch, now: Doubles, starts: Longs) -> Doubles:
    age = np.maximum(now - users.behaviour_last_at, 0.0)
    weight = np.maximum(TYPE_WEIGHT_BY_CODE[users.behaviour_type], 0.0)
    columns = [
        _sum(weight * users.behaviour_decayed[:, column] * np.exp2(-age / half_life_s), starts)
        for column, half_life_s in enumerate(HALF_LIVES_S)
    ]
    return np.stack(columns, axis=1)


def _sum(values: Doubles, starts: Longs) -> Doubles:
    sums: Doubles = np.add.reduceat(values, starts) if len(starts) else np.zeros(0)
    return sums


def _max(values: Doubles, starts: Longs) -> Doubles:
    greatest: Doubles = np.maximum.reduceat(values, starts) if len(starts) else np.zeros(0)
    return greatest

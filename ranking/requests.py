"""Requests that users could have made: instants in the log and what they then acted on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Longs, ragged_offsets
from interest.events import EVENT_TYPES
from interest.model import DAY_S, TYPE_WEIGHT_BY_CODE
from interest.next_acts import ACT_WEIGHT
from interest.store.protocol import EventColumns

SESSION_GAP_S = 6 * 3_600.0
LEAD_S = 1.0  # a request comes this long before the session it is made of

_WANTED: npt.NDArray[np.bool_] = TYPE_WEIGHT_BY_CODE >= ACT_WEIGHT
assert len(_WANTED) == len(EVENT_TYPES)


@dataclass(frozen=True, slots=True)
class PastRequests:
    """Q requests, each `LEAD_S` before a user's session began; `wanted` are the item keys acted on afterwards.

    `wanted` is distinct and ascending within a request and cut by `wanted_offsets` [Q + 1]. `again` [Q]: one of them
    at least is something that the user had acted on before.
    """

    user_key: Longs  # [Q]
    as_of: Doubles  # [Q] unix seconds
    wanted_offsets: Longs
    wanted: Longs
    again: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user_key)

    def take(self, rows: Longs) -> "PastRequests":
        """These requests, in this order."""
        parts = [self.wanted[self.wanted_offsets[row] : self.wanted_offsets[row + 1]] for row in rows]
        wanted = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        offsets = ragged_offsets([len(part) for part in parts])
        return PastRequests(self.user_key[rows], self.as_of[rows], offsets, wanted, self.again[rows])


def past_requests(
    events: EventColumns, start: float, end: float, horizon_s: float, per_user: int, rng: np.random.Generator
) -> PastRequests:
    """At most `per_user` session starts in [start, end) of every user, by chance; wanted within `horizon_s`."""
    acts = _Acts.of(events)
    inside = np.flatnonzero(acts.begins & (acts.time >= start) & (acts.time < end))
    return acts.requests(_some_per_user(inside, acts.user, per_user, rng), horizon_s)


def latest_requests(
    events: EventColumns, start: float, horizon_s: float, per_user: int, most: int, rng: np.random.Generator
) -> PastRequests:
    """The latest `per_user` session starts of each user, of those at or after `start`; at most `most`, by chance.

    A user's first session of all is not among them: nothing is known of its user.
    """
    acts = _Acts.of(events)
    sessions = np.flatnonzero(acts.begins & acts.came_back() & (acts.time >= start))
    ends = np.searchsorted(acts.user[sessions], acts.user[sessions], side="right")
    latest = sessions[ends - np.arange(len(sessions)) <= per_user]
    return acts.requests(np.sort(rng.permutation(latest)[:most]), horizon_s)


@dataclass(frozen=True, slots=True)
class _Acts:
    """What could have been wanted, by user and time; `begins`: the act is the first of a session."""

    user: Longs
    time: Doubles
    item: Longs
    begins: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, events: EventColumns) -> "_Acts":
        use = _WANTED[events.event_type]
        order = np.lexsort((events.item_key[use], events.timestamp[use], events.user_key[use]))
        user, time, item = events.user_key[use][order], events.timestamp[use][order], events.item_key[use][order]
        begins = np.ones(len(user), dtype=np.bool_)
        begins[1:] = (user[1:] != user[:-1]) | (time[1:] - time[:-1] > SESSION_GAP_S)
        return cls(user, time, item, begins)

    def came_back(self) -> npt.NDArray[np.bool_]:
        """Of each act, whether its user had acted before."""
        known = np.zeros(len(self.user), dtype=np.bool_)
        known[1:] = self.user[1:] == self.user[:-1]
        return known

    def requests(self, sessions: Longs, horizon_s: float) -> PastRequests:
        """Requests `LEAD_S` before the sessions that begin at these places."""
        wanted, again = [], np.zeros(len(sessions), dtype=np.bool_)
        for number, first in enumerate(sessions):
            start, last = np.searchsorted(self.user, [self.user[first], self.user[first] + 1])
            until = first + int(np.searchsorted(self.time[first:last], self.time[first] + horizon_s))
            wanted.append(np.unique(self.item[first:until]))
            again[number] = np.isin(wanted[-1], self.item[start:first]).any()
        return PastRequests(
            user_key=self.user[sessions],
            as_of=self.time[sessions] - LEAD_S,
            wanted_offsets=ragged_offsets([len(part) for part in wanted]),
            wanted=np.concatenate([np.zeros(0, dtype=np.int64), *wanted]),
            again=again,
        )


def windows(events: EventColumns, number: int, share: float) -> list[tuple[float, float]]:
    """`number` stretches of time with as many events each, together the last `share` of the log by time."""
    if len(events.timestamp) == 0:
        return []
    edges = np.quantile(events.timestamp, np.linspace(1.0 - share, 1.0, number + 1))
    edges[-1] += DAY_S  # the last event is inside
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [(start, end) for start, end in pairs if end > start]


def _some_per_user(sessions: Longs, user: Longs, per_user: int, rng: np.random.Generator) -> Longs:
    shuffled = sessions[rng.permutation(len(sessions))]
    shuffled = shuffled[np.argsort(user[shuffled], kind="stable")]
    owner = user[shuffled]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    place = np.arange(len(owner)) - np.repeat(starts, np.diff(np.append(starts, len(owner))))
    return np.sort(shuffled[place < per_user])

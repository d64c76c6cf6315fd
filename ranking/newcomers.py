"""Past requests asked again as if hardly anything were known of their users, as is so of most who come to a new shop.

A log shows few first visits, and none of what newcomers would have declared. Leaving out what is known in training, so
that a model learns to do without it: Volkovs, M. et al. (2017), "DropoutNet: Addressing Cold Start in Recommender
Systems", NIPS, section 4.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from interest.batch import Longs, ragged_offsets
from interest.catalogue import CatalogueView
from interest.events import Facet
from interest.features import item_facets
from interest.fold import EventRows, fold_many
from interest.profile import Declaration, InterestProfile, empty_profile
from interest.store.protocol import EventColumns
from ranking.requests import PastRequests

MOST_EVENTS = 5  # that a newcomer has left
MOST_DECLARED = 10  # interests of a newcomer without events


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Q requests, what is still known of each one's user, and the items they had dealt with, known or not.

    `own` [n] item keys, distinct within a request and cut by `own_offsets` [Q + 1]: nobody is to be offered them, or
    the reranker would learn what the hidden history says.
    """

    requests: PastRequests
    profiles: list[InterestProfile]
    own_offsets: Longs
    own: Longs

    def part(self, start: int, end: int) -> "Newcomers":
        """Those at places [start, end)."""
        requests = self.requests.take(np.arange(start, min(end, len(self.requests))))
        cuts = self.own_offsets[start : end + 1]
        return Newcomers(requests, self.profiles[start:end], cuts - cuts[0], self.own[cuts[0] : cuts[-1]])


def as_newcomers(
    events: EventColumns,
    requests: PastRequests,
    share: float,
    view: CatalogueView,
    user_ids: Mapping[int, str],
    rng: np.random.Generator,
) -> Newcomers:
    """This share of the requests, by chance, as far as their users had a history: one half with their latest 1 to 5
    events, the other with none but with 1 to 10 declared interests, the heaviest facets of their items.
    """
    log = events.where(np.lexsort((events.seq, events.timestamp, events.user_key)))
    chosen = requests.take(np.sort(rng.permutation(len(requests))[: round(share * len(requests))]))
    histories = [_history(log, *asked) for asked in zip(chosen.user_key.tolist(), chosen.as_of.tolist(), strict=True)]
    known = [place for place, rows in enumerate(histories) if rows.stop > rows.start]
    chosen, histories = chosen.take(np.array(known, dtype=np.int64)), [histories[place] for place in known]
    own = [np.unique(log.item_key[rows]) for rows in histories]
    facets = cache(lambda row: item_facets(view.items[row]))  # users have many items in common
    profiles = []
    for place, (user, rows) in enumerate(zip(chosen.user_key.tolist(), histories, strict=True)):
        stranger = empty_profile(user_ids[user])
        if place % 2:
            profiles.append(
                _declaring(
                    stranger, map(facets, view.rows(own[place]).tolist()), int(rng.integers(1, MOST_DECLARED + 1))
                )
            )
        else:
            left = int(rng.integers(1, MOST_EVENTS + 1))
            profiles.append(_with_events(stranger, log, slice(max(rows.start, rows.stop - left), rows.stop)))
    keys = np.concatenate([np.zeros(0, dtype=np.int64), *own])
    return Newcomers(chosen, profiles, ragged_offsets([len(part) for part in own]), keys)


def _history(log: EventColumns, user: int, as_of: float) -> slice:
    """Rows of a log by user and time: the user's events until that instant."""
    start, end = np.searchsorted(log.user_key, [user, user + 1])
    return slice(int(start), int(start + np.searchsorted(log.timestamp[start:end], as_of, side="right")))


def _with_events(profile: InterestProfile, log: EventColumns, rows: slice) -> InterestProfile:
    number = rows.stop - rows.start
    told = EventRows(
        user=np.zeros(number, dtype=np.int64),
        item_key=log.item_key[rows],
        event_type=log.event_type[rows],
        timestamp=log.timestamp[rows],
        value=log.value[rows],
        text=[""] * number,
    )
    return fold_many([profile], told, [])[0]


def _declaring(
    profile: InterestProfile, items: Iterable[Iterable[tuple[Facet, float]]], number: int
) -> InterestProfile:
    """So many of the heaviest facets of some items, each weighed over the heaviest one."""
    weights: dict[Facet, float] = {}
    for facets in items:
        for facet, weight in facets:
            weights[facet] = weights.get(facet, 0.0) + weight
    best = sorted(weights.items(), key=lambda entry: (-entry[1], entry[0].kind, entry[0].name))[:number]
    return replace(profile, declared={facet: Declaration(weight / best[0][1], 0.0, "") for facet, weight in best})

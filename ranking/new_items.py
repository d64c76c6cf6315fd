"""Past requests for new items: some items are taken to be ones that nobody has touched, and only they are asked for.

A log shows no choice among items without events, so trees that learn from it alone know nothing about such items.
Leaving out what is known of an item in training is the item's half of Volkovs, M. et al. (2017), "DropoutNet:
Addressing Cold Start in Recommender Systems", NIPS, section 4; the user's half is `ranking.newcomers`.
"""

from dataclasses import replace

import numpy as np

from interest.batch import Longs, UserBatch, ragged_offsets
from interest.store.protocol import EventColumns
from ranking.batch import CandidateRequest
from ranking.eligibility import exclusions
from ranking.requests import PastRequests


def hidden_items(events: EventColumns, share: float, rng: np.random.Generator) -> Longs:
    """This share of the items with events, by chance; keys, ascending."""
    keys = np.unique(events.item_key)
    hidden: Longs = np.sort(rng.permutation(keys)[: round(share * len(keys))])
    return hidden


def without_items(events: EventColumns, hidden: Longs) -> EventColumns:
    """The events of all other items."""
    return events.where(~np.isin(events.item_key, hidden))


def wanting(requests: PastRequests, hidden: Longs) -> PastRequests:
    """The requests with a wanted item among the `hidden` ones, which alone stay wanted."""
    kept = np.isin(requests.wanted, hidden)
    owner = np.repeat(np.arange(len(requests)), np.diff(requests.wanted_offsets))
    lengths = np.bincount(owner[kept], minlength=len(requests))
    only = replace(requests, wanted=requests.wanted[kept], wanted_offsets=ragged_offsets(lengths))
    return only.take(np.flatnonzero(lengths))


def among_hidden(
    asked: CandidateRequest, users: UserBatch, requests: PastRequests, hidden: Longs, rng: np.random.Generator
) -> CandidateRequest:
    """The requests `asked` with candidates of their own: what is wanted and other hidden items, by chance, up to the
    count asked for; nothing that they would exclude otherwise."""
    given, excluded = [], exclusions(users, asked)
    for user, count in enumerate(asked.count.tolist()):
        wanted = requests.wanted[requests.wanted_offsets[user] : requests.wanted_offsets[user + 1]]
        others = rng.permutation(hidden[~np.isin(hidden, wanted)])[: max(count - len(wanted), 0)]
        keys = np.concatenate([wanted, others])
        given.append(np.sort(keys[~np.isin(keys, excluded.of(user))]))
    return replace(
        asked,
        given=np.ones(len(given), dtype=np.bool_),
        given_offsets=ragged_offsets([len(keys) for keys in given]),
        given_item=np.concatenate([np.zeros(0, dtype=np.int64), *given]),
    )

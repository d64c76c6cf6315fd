"""Candidate sources: what to do next, with whom, what is alike, popular or due again; item keys a user, best first."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from interest.batch import Doubles, Floats, Longs, UserBatch
from interest.catalogue import CatalogueView
from interest.profile import HALF_LIVES_S
from ranking.eligibility import Exclusions, Group
from ranking.index import ItemIndex
from ranking.popularity import ALL_TIME, TENTHS, WEIGHT_BY_CODE, WINDOW, Popularity

SOURCES = ("collaborative", "session", "together", "content", "popular", "repeat")
"""collaborative: what the interest model expects next of all behaviour; session: of the behaviour around the latest
event; together: what goes with all behaviour in no order of time; content: nearest texts; repeat: own items."""

COLLABORATIVE, SESSION, TOGETHER, CONTENT, POPULAR, REPEAT = range(len(SOURCES))
SCORES = (*SOURCES, "collaborative_recent", "together_recent", "together_session")
"""Columns of `CandidateBatch.candidate_score`: what each source says of an item, whoever named it, and three more
views of the interest model that name nobody: both heads on recent behaviour, the second one on the session."""

COLLABORATIVE_RECENT, TOGETHER_RECENT, TOGETHER_SESSION = range(len(SOURCES), len(SCORES))
DEFAULT_QUOTAS: Mapping[str, int] = {
    "collaborative": 120,
    "session": 40,
    "together": 60,
    "content": 40,
    "popular": 100,
    "repeat": 100,
}

POPULAR_WINDOWS = (WINDOW[1], WINDOW[7], WINDOW[30], ALL_TIME)
SCORE_WINDOW = WINDOW[30]  # the one whose count is the source's score
DEEPER = 4
REPEAT_HALF_LIFE = 1  # column of `Behaviour.decayed`: 30 days

KeyLists = dict[int, Longs]  # user of the batch -> item keys, best first


@dataclass(frozen=True, slots=True)
class OwnWeights:
    """How much each user has to do with items of their own, one row per (user, item), sorted by both."""

    user: Longs  # row of the batch
    keys: Longs
    weight: Doubles


def by_vector(index: ItemIndex, group: Group, excluded: Exclusions, vectors: Floats, quota: int) -> KeyLists:
    """Best inner products over several vectors a user, float32 [B, K, D]: an item counts with its best vector.

    Users whose vectors are all zero are left out.
    """
    members = np.asarray(group.members, dtype=np.int64)
    position, which = np.nonzero(vectors[members].any(axis=2))
    owners = members[position]
    if not len(owners) or not len(index) or not quota:
        return {}
    mine = excluded.among(owners.tolist())
    keys, scores = index.search(vectors[owners, which], quota, group.eligible, mine.offsets, mine.keys)
    bounds = np.flatnonzero(np.diff(owners, prepend=-1, append=-1))
    lists: KeyLists = {}
    for start, stop in pairwise(bounds):
        lists[int(owners[start])] = _best(keys[start:stop], scores[start:stop], quota)
    return lists


def _best(keys: Longs, scores: Floats, quota: int) -> Longs:
    """The keys of one user's searches [K, quota] in one list by best score, ties by lower key."""
    found = keys >= 0
    if len(keys) == 1:
        return keys[found]
    flat_keys, flat_scores = keys[found], scores[found]
    order = np.lexsort((flat_keys, -flat_scores))
    ordered = flat_keys[order]
    _, first = np.unique(ordered, return_index=True)
    best: Longs = ordered[np.sort(first)][:quota]
    return best


def by_popularity(
    popularity: Popularity, view: CatalogueView, group: Group, users: UserBatch, excluded: Exclusions, quota: int
) -> KeyLists:
    """Most wanted items of a day, a week, a month and all time before the user's `now`, the windows taking turns."""
    each = -(-quota // len(POPULAR_WINDOWS))
    lists: KeyLists = {}
    heads: dict[float, list[Longs]] = {}
    longest = each + int(np.diff(excluded.offsets).max(initial=0))
    for user in group.members:
        now = float(users.now[user])
        if now not in heads:
            orders = [popularity.order(now, view, window) for window in POPULAR_WINDOWS]
            heads[now] = [_eligible_keys(order, view, group)[:longest] for order in orders]
        columns = [_without(head, excluded.of(user))[:each] for head in heads[now]]
        lists[user] = _taking_turns(columns)
    return lists


def by_repeat(group: Group, excluded: Exclusions, own: OwnWeights, quota: int) -> KeyLists:
    """The user's own items, heaviest first."""
    lists: KeyLists = {}
    for user in group.members:
        start, stop = np.searchsorted(own.user, [user, user + 1])
        mine, heavy = own.keys[start:stop], own.weight[start:stop]
        ordered = mine[np.lexsort((mine, -heavy))]
        known = ordered[ordered < len(group.eligible)]
        lists[user] = _without(known[group.eligible[known]], excluded.of(user))[:quota]
    return lists


def own_weights(users: UserBatch) -> OwnWeights:
    """Positive behaviour by weight of its type, decayed with 30 days' half-life to each user's `now`."""
    owner = np.repeat(np.arange(len(users.now)), np.diff(users.behaviour_offsets))
    weight = WEIGHT_BY_CODE[users.behaviour_type] / TENTHS
    positive = weight > 0
    age_s = np.maximum(users.now[owner] - users.behaviour_last_at, 0.0)
    decayed = users.behaviour_decayed[:, REPEAT_HALF_LIFE] * 2.0 ** (-age_s / HALF_LIVES_S[REPEAT_HALF_LIFE])
    owner, keys, weight = owner[positive], users.behaviour_item[positive], (weight * decayed)[positive]
    order = np.lexsort((keys, owner))
    owner, keys, weight = owner[order], keys[order], weight[order]
    starts = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(keys, prepend=-1) != 0))
    sums = np.add.reduceat(weight, starts) if len(starts) else weight
    return OwnWeights(owner[starts], keys[starts], sums)


def _eligible_keys(order: Longs, view: CatalogueView, group: Group) -> Longs:
    keys = view.keys[order]
    return keys[group.eligible[keys]]


def _without(keys: Longs, excluded: Longs) -> Longs:
    """`keys` in their order, less the ascending `excluded`."""
    if not len(excluded):
        return keys
    place = np.minimum(np.searchsorted(excluded, keys), len(excluded) - 1)
    left: Longs = keys[excluded[place] != keys]
    return left


def _taking_turns(columns: list[Longs]) -> Longs:
    """First of each list, second of each, ... without repeats."""
    longest = max(len(column) for column in columns)
    table = np.full((longest, len(columns)), -1, dtype=np.int64)
    for place, column in enumerate(columns):
        table[: len(column), place] = column
    flat = table.ravel()
    flat = flat[flat >= 0]
    _, first = np.unique(flat, return_index=True)
    turns: Longs = flat[np.sort(first)]
    return turns


def depths(quotas: Mapping[str, int], count: int) -> list[int]:
    """How many candidates each source names when `count` are wanted, in the order of `SOURCES`.

    `DEEPER` times its share: sources agree on many, and some have nothing to say to a user, whose part the others fill.
    """
    total = sum(quotas[name] for name in SOURCES)
    return [min(count, -(-DEEPER * quotas[name] * count // total)) for name in SOURCES]

"""Retriever: the union of the candidate sources for a batch of users, with complete source scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interest.batch import Doubles, Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import Catalogue, CatalogueView
from interest.errors import InvalidConfig
from interest.store.protocol import EventColumns, ItemChange
from ranking.batch import CandidateBatch, CandidateRequest
from ranking.boosting import Boosting, Boosts
from ranking.eligibility import Eligibility, Exclusions, Group, exclusions
from ranking.filter_nodes import Mask
from ranking.index import IndexSettings, ItemIndex
from ranking.index_settings import FLAT
from ranking.lender import MOST_BORROWERS, Lender
from ranking.popularity import ALL_TIME, Popularity
from ranking.score_order import PLACE_BITS
from ranking.sources import (
    COLLABORATIVE,
    COLLABORATIVE_RECENT,
    CONTENT,
    DEFAULT_QUOTAS,
    POPULAR,
    REPEAT,
    SCORE_WINDOW,
    SCORES,
    SESSION,
    SOURCES,
    TOGETHER,
    TOGETHER_RECENT,
    TOGETHER_SESSION,
    KeyLists,
    OwnWeights,
    by_popularity,
    by_repeat,
    by_vector,
    depths,
    own_weights,
)

if TYPE_CHECKING:
    from ranking.pool import Pool

SCORED_ONLY = IndexSettings(kind=FLAT)  # of vectors that are looked up by item and never searched


class Retriever:
    """`apply` belongs to one thread, `retrieve` may run beside it in another."""

    def __init__(
        self,
        catalogue: Catalogue,
        popularity: Popularity,
        item_keys: Longs,
        item_vectors: Floats,
        quotas: Mapping[str, int] = DEFAULT_QUOTAS,
        threads: int = 1,
        heads: int = 1,
        pool: "Pool | None" = None,
    ) -> None:
        """`item_keys` int64 [m], `item_vectors` float32 [m, D]: the output vectors of the interest model.

        Only these items are named by the model; others are scored by it with vectors that `Lender` makes from theirs.

        Their D columns are cut into `heads` equal parts: the first one says what comes next, the last one what goes
        together.

        `quotas`: shares of what the sources name, by source. Raises `InvalidConfig` for a missing or unknown source.
        Without `pool` that is the candidates.
        """
        if set(quotas) != set(SOURCES) or min(quotas.values()) < 0 or not any(quotas.values()):
            raise InvalidConfig(f"quotas {dict(quotas)}: must give a share of 0 or more to each of {SOURCES}")
        self._catalogue = catalogue
        self._popularity = popularity
        self._quotas = dict(quotas)
        self._pool = pool
        self._eligibility = Eligibility()
        self._boosting = Boosting()
        width = item_vectors.shape[1] // heads
        self._next, self._together = slice(0, width), slice(item_vectors.shape[1] - width, None)
        self._next_items = _index(item_keys, item_vectors[:, self._next], threads)
        self._together_items = _index(item_keys, item_vectors[:, self._together], threads)
        view = catalogue.view()
        encoded = view.available & view.content.any(axis=1)
        self._learned = np.unique(item_keys[item_vectors.any(axis=1)])
        self._lender = _lender(view, item_keys, item_vectors)
        borrowers = np.flatnonzero(encoded & ~np.isin(view.keys, self._learned))[-MOST_BORROWERS:]
        lent = self._lender.vectors(view.content[borrowers])
        keys, vectors = np.concatenate([item_keys, view.keys[borrowers]]), np.concatenate([item_vectors, lent])
        self._next_scores = _index(keys, vectors[:, self._next], threads, SCORED_ONLY)
        self._together_scores = _index(keys, vectors[:, self._together], threads, SCORED_ONLY)
        self._content = ItemIndex(view.content.shape[1], threads)
        self._content.build(view.keys[encoded], view.content[encoded])

    def apply(self, changes: Sequence[ItemChange], events: EventColumns | None = None) -> None:
        """Follow the store: the one way in for the catalogue and the popularity that this retriever was given."""
        if changes:
            self._catalogue.apply(changes)
            view = self._catalogue.view()
            keys = np.unique(np.array([change.item_key for change in changes], dtype=np.int64))
            rows = view.rows(keys)
            encoded = view.available[rows] & view.content[rows].any(axis=1)
            self._content.remove(keys[~encoded])
            self._content.upsert(keys[encoded], view.content[rows[encoded]])
            self._lend(keys[encoded], view.content[rows[encoded]])
        if events is not None:
            self._popularity.append(events)

    def _lend(self, keys: Longs, content: Floats) -> None:
        """Give vectors to those of these items that the interest model has not learned."""
        borrows = ~np.isin(keys, self._learned)
        lent = self._lender.vectors(content[borrows])
        some = lent.any(axis=1)
        for index, head in ((self._next_scores, self._next), (self._together_scores, self._together)):
            index.remove(keys[borrows][~some])
            index.upsert(keys[borrows][some], np.ascontiguousarray(lent[some][:, head]))

    def retrieve(self, users: UserBatch, requests: CandidateRequest, boosts: Boosts | None = None) -> CandidateBatch:
        """min(count, eligible) candidates a user, ordered by item key, each with the score of every source.

        They are the sources' best, or what the pool's trees choose from more of these.

        A request that gives its candidates gets those of them that the catalogue knows. What a source found and a
        factor above 1 lifts is among the candidates before anything else that the sources found.
        Scores are NaN where undefined: no vector on either side, an item the user never dealt with. They do not depend
        on who else is in the batch. Raises `InvalidRequest` for a bad filter.
        """
        view = self._catalogue.view()
        batch = _Batch(
            view, users, exclusions(users, requests), own_weights(users), self._boosting.lifted(boosts, view)
        )
        chosen = _given(requests, view)
        sizes = requests.count if self._pool is None else np.maximum(requests.count, self._pool.size)
        for group in self._eligibility.groups(batch.view, requests):
            asking = [user for user in group.members if not requests.given[user]]
            for count in np.unique(sizes[asking]):
                members = [user for user in asking if sizes[user] == count]
                part = Group(members, group.eligible, group.keys)
                lists = self._lists(batch, part, int(count))
                for user in members:
                    chosen[user] = self._union(batch, part, lists, user, int(count))
        named = self._scored(batch, chosen)
        if self._pool is None:
            return named
        most = np.where(requests.given, np.diff(named.candidate_offsets), requests.count)
        return self._pool.best(users, named, most, batch.lifted_among(named), batch.view)

    def source_lists(self, users: UserBatch, requests: CandidateRequest) -> list[list[Longs]]:
        """For each user, what each of `SOURCES` names, best first: the lists whose union `retrieve` makes."""
        batch = _Batch(self._catalogue.view(), users, exclusions(users, requests), own_weights(users), {})
        nothing = np.zeros(0, dtype=np.int64)
        found: list[list[Longs]] = [[nothing] * len(SOURCES) for _ in range(len(users.now))]
        for group in self._eligibility.groups(batch.view, requests):
            for source, lists in enumerate(self._lists(batch, group, int(requests.count.max()))):
                for user, keys in lists.items():
                    found[user][source] = keys
        return found

    def _lists(self, batch: "_Batch", group: Group, count: int) -> list[KeyLists]:
        """In the order of `SOURCES`; a source with a quota of 0 names nobody."""
        depth = depths(self._quotas, count)
        users, excluded = batch.users, batch.excluded
        return [
            by_vector(self._next_items, group, excluded, _one(users.vector, self._next), depth[COLLABORATIVE]),
            by_vector(self._next_items, group, excluded, _one(users.session_vector, self._next), depth[SESSION]),
            by_vector(self._together_items, group, excluded, _one(users.vector, self._together), depth[TOGETHER]),
            by_vector(self._content, group, excluded, users.content, depth[CONTENT]),
            by_popularity(self._popularity, batch.view, group, users, excluded, depth[POPULAR]),
            by_repeat(group, excluded, batch.own, depth[REPEAT]),
        ]

    def _union(self, batch: "_Batch", group: Group, lists: list[KeyLists], user: int, count: int) -> Longs:
        """Item keys, ascending: the sources' best by place in their list relative to their quota, then the rest."""
        quotas = [self._quotas[name] for name in SOURCES]
        named = [(quota, keys[user]) for quota, keys in zip(quotas, lists, strict=True) if quota and user in keys]
        keys = np.concatenate([group.keys[:0], *(part for _, part in named)])
        place = np.concatenate([np.zeros(0), *((np.arange(len(part)) + 1) / quota for quota, part in named)])
        numbers = (keys << 32) | _bits(place)
        numbers.sort()
        keys, bits = numbers >> 32, numbers & PLACE_BITS
        first = np.diff(keys, prepend=-1) != 0
        keys, bits = keys[first], bits[first]
        if len(keys) > count:
            numbers = (bits << 32) | keys
            numbers[batch.is_lifted(user, keys)] |= np.iinfo(np.int64).min  # before all others
            numbers.sort()
            keys = numbers[:count] & PLACE_BITS
        elif len(keys) < count:
            keys = self._filled(batch, group, user, keys, count)
        return np.sort(keys)

    def _filled(self, batch: "_Batch", group: Group, user: int, keys: Longs, count: int) -> Longs:
        """Up to `count` keys: the most wanted of all time first, then the nearest texts, then in key order."""
        free = group.eligible.copy()
        for taken in (keys, batch.excluded.of(user)):
            free[taken[taken < len(free)]] = False
        popular = batch.view.keys[self._popularity.order(float(batch.users.now[user]), batch.view, ALL_TIME)]
        popular = popular[free[popular]][: count - len(keys)]
        free[popular] = False
        alike = popular[:0]
        if len(keys) + len(popular) < count and self._quotas["content"]:
            alone = Group([user], group.eligible, group.keys)
            alike = by_vector(self._content, alone, batch.excluded, batch.users.content, count).get(user, alike)
            alike = alike[free[alike]][: count - len(keys) - len(popular)]
            free[alike] = False
        rest = group.keys[free[group.keys]][: count - len(keys) - len(popular) - len(alike)]
        return np.concatenate([keys, popular, alike, rest])

    def _scored(self, batch: "_Batch", chosen: list[Longs]) -> CandidateBatch:
        """Every score is made pair by pair, so that equal requests get equal scores in any batch."""
        users, view = batch.users, batch.view
        offsets = ragged_offsets([len(keys) for keys in chosen])
        owner = np.repeat(np.arange(len(chosen)), np.diff(offsets))
        keys = np.concatenate([np.zeros(0, dtype=np.int64), *chosen])
        place = np.arange(len(keys)) - offsets[owner]
        table = np.full((len(chosen), int(np.diff(offsets).max(initial=0))), -1, dtype=np.int64)
        table[owner, place] = keys
        scores = np.full((len(keys), len(SCORES)), np.nan, dtype=np.float32)
        for source, index, vectors in (
            (COLLABORATIVE, self._next_scores, _one(users.vector, self._next)),
            (SESSION, self._next_scores, _one(users.session_vector, self._next)),
            (TOGETHER, self._together_scores, _one(users.vector, self._together)),
            (COLLABORATIVE_RECENT, self._next_scores, _one(users.recent_vector, self._next)),
            (TOGETHER_RECENT, self._together_scores, _one(users.recent_vector, self._together)),
            (TOGETHER_SESSION, self._together_scores, _one(users.session_vector, self._together)),
        ):
            scores[:, source] = _best_products(index, vectors, table)[owner, place]
        scores[:, CONTENT] = _best_products(self._content, users.content, table)[owner, place]
        rows = view.rows(keys)
        for user in range(len(chosen)):
            part = slice(offsets[user], offsets[user + 1])
            counts = self._popularity.counts(float(users.now[user]), view)
            scores[part, POPULAR] = np.log1p(counts[rows[part], SCORE_WINDOW])
        scores[:, REPEAT] = _own(owner, keys, batch.own)
        return CandidateBatch(offsets, keys, scores)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What every step of one `retrieve` shares."""

    view: CatalogueView
    users: UserBatch
    excluded: Exclusions
    own: OwnWeights
    lifted: Mapping[int, Mask]  # user of the batch -> mask by row of the view, for those with such boosters

    def is_lifted(self, user: int, keys: Longs) -> Mask:
        """bool [len(keys)]; the keys are of the view."""
        mask = self.lifted.get(user)
        return np.zeros(len(keys), dtype=np.bool_) if mask is None else mask[self.view.rows(keys)]

    def lifted_among(self, named: CandidateBatch) -> Mask:
        """bool [N]"""
        offsets, keys = named.candidate_offsets, named.candidate_item
        marks = np.zeros(len(keys), dtype=np.bool_)
        for user in self.lifted:
            part = slice(offsets[user], offsets[user + 1])
            marks[part] = self.is_lifted(user, keys[part])
        return marks


def _given(requests: CandidateRequest, view: CatalogueView) -> list[Longs]:
    """The candidates that each request gives itself, ascending and distinct, as far as the view has them."""
    chosen = [requests.given_item[:0]] * len(requests.count)
    for user in np.flatnonzero(requests.given):
        keys = requests.given_item[requests.given_offsets[user] : requests.given_offsets[user + 1]]
        chosen[user] = np.unique(keys[view.rows(keys) >= 0])
    return chosen


def _lender(view: CatalogueView, keys: Longs, vectors: Floats) -> Lender:
    """Of the learned items that the catalogue has texts of."""
    rows = view.rows(keys)
    return Lender(view.content[rows[rows >= 0]], vectors[rows >= 0])


def _index(keys: Longs, vectors: Floats, threads: int, settings: IndexSettings | None = None) -> ItemIndex:
    """The items whose vector is not all zeros."""
    index = ItemIndex(vectors.shape[1], threads, settings)
    learned = vectors.any(axis=1)
    index.build(keys[learned], np.ascontiguousarray(vectors[learned]))
    return index


def _bits(places: Doubles) -> Longs:
    """Whole numbers below 2^31 in the order of these positive numbers, equal where they are equal as float32."""
    return places.astype(np.float32).view(np.int32).astype(np.int64)


def _one(vectors: Floats, head: slice) -> Floats:
    """[B, 1, D / heads]"""
    return vectors[:, None, head]


def _best_products(index: ItemIndex, vectors: Floats, table: Longs) -> Floats:
    """Highest inner product over the K vectors [B, K, D] with each key of `table` [B, n]; NaN where there is none."""
    best = np.full(table.shape, np.nan, dtype=np.float32)
    for which in range(vectors.shape[1]):
        users = np.flatnonzero(vectors[:, which].any(axis=1))
        best[users] = np.fmax(best[users], index.scores(vectors[users, which], table[users]))
    return best


def _own(owner: Longs, keys: Longs, own: OwnWeights) -> Floats:
    """The own weights of these (user, key) pairs, NaN where the user never dealt with the item."""
    width = int(max(keys.max(initial=0), own.keys.max(initial=0))) + 1
    held = own.user * width + own.keys
    wanted = owner * width + keys
    values = np.full(len(keys), np.nan, dtype=np.float32)
    if len(held):
        place = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
        found = held[place] == wanted
        values[found] = own.weight[place[found]]
    return values

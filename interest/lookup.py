"""InterestLookup: profiles in, one batch of vectors, behaviour and readable facets out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from interest.batch import Doubles, Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import Catalogue, CatalogueView
from interest.events import FACET_KINDS, EventType, Facet
from interest.features import facet_hash
from interest.model import DAY_S, TYPE_WEIGHTS, InterestModel
from interest.profile import (
    HALF_LIVES_S,
    Behaviour,
    InterestProfile,
    concatenated,
    declared_interests,
    empty_behaviour,
)

CONTENT_VECTORS = 3  # all behaviour; behaviour around the latest event; declared interests
SHORT_HALF_LIFE_S = 20 * DAY_S  # of the recent vector, on top of the model's own decay
RECENT_HALF_LIFE_S = DAY_S  # of the session's vectors, counted back from the user's latest event
LEAST_RECENCY = 0.1
KEYWORD_HALF_LIFE_S = HALF_LIVES_S[1]  # of the profile's comment keywords
MAX_FACETS = 64  # learned ones of a user; declared ones come on top

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Join:
    """What one view of the catalogue means for the model; rows are the view's."""

    view: CatalogueView
    model_row: Longs  # [rows] row of the model, -1 where it has none
    hashes: Hashes  # [facets] ascending
    facets: scipy.sparse.csr_array  # float64 [rows, facets] weights
    carriers: scipy.sparse.csc_array  # the same, by facet


class InterestLookup:
    """Derives vectors from profiles with the live model, so that a new model rewrites no profile.

    A user's part of the batch is bit-equal whatever batch it travels in: sums run user by user in row order.
    `follow` belongs to one thread; the rest may run beside it in another, and never waits for it.
    """

    def __init__(self, model: InterestModel, catalogue: Catalogue) -> None:
        self.model = model
        self._catalogue = catalogue
        self._model_row_by_id = {item_id: row for row, item_id in enumerate(model.item_ids)}
        self._join = self._joined(catalogue.view())

    def follow(self) -> None:
        """Join the catalogue's newest view and swap it in; until then lookups answer from the one before.

        This takes tens of milliseconds at 50,000 items, so whoever changes the catalogue calls it, not a request.
        """
        view = self._catalogue.view()
        if view is not self._join.view:
            self._join = self._joined(view, self._join.model_row)

    def lookup(self, profiles: Sequence[InterestProfile], now: Doubles) -> UserBatch:
        """The batch of these users as of `now` [B] unix seconds. Events after `now` count as of `now`."""
        join = self._join
        behaviour = [profile.behaviour for profile in profiles]
        offsets = ragged_offsets([len(rows.item_key) for rows in behaviour])
        rows = concatenated(behaviour) if behaviour else empty_behaviour()
        instants = np.asarray(now, dtype=np.float64)
        row_now = np.repeat(instants, np.diff(offsets))
        weights = self._weights(rows, row_now)
        catalogue_rows = join.view.rows(rows.item_key)
        recency = _recency(behaviour, offsets, rows.last_at)
        facet_offsets, facet_hashes, facet_weights = self._facets(
            join, profiles, instants, offsets, catalogue_rows, weights
        )
        return UserBatch(
            now=instants,
            vector=self._vectors(join, offsets, catalogue_rows, weights),
            recent_vector=self._vectors(join, offsets, catalogue_rows, weights * _decay(rows.last_at, row_now)),
            session_vector=self._vectors(join, offsets, catalogue_rows, weights * recency),
            content=_content(join, profiles, offsets, catalogue_rows, weights, recency),
            behaviour_offsets=offsets,
            behaviour_item=rows.item_key,
            behaviour_type=rows.event_type,
            behaviour_count=rows.count,
            behaviour_value=rows.value,
            behaviour_first_at=rows.first_at,
            behaviour_last_at=rows.last_at,
            behaviour_decayed=rows.decayed,
            facet_offsets=facet_offsets,
            facet_hash=facet_hashes,
            facet_weight=facet_weights,
        )

    def interests(self, profile: InterestProfile, now: float, limit: int) -> list[tuple[Facet, float, bool]]:
        """The user's readable interests as of `now`; see `readable`."""
        return self.readable([profile], self.lookup([profile], np.array([now])), limit)[0]

    def readable(
        self, profiles: Sequence[InterestProfile], users: UserBatch, limit: int
    ) -> list[list[tuple[Facet, float, bool]]]:
        """For each user of a looked-up batch (facet, weight 0 to 1, declared), heaviest first, then by kind and name.

        Declared ones are always among them, muted ones (weight 0) last; learned ones fill up to `limit`.
        """
        join = self._join
        found = []
        for user, profile in enumerate(profiles):
            part = slice(users.facet_offsets[user], users.facet_offsets[user + 1])
            found.append(_readable(join, profile, users.facet_hash[part], users.facet_weight[part], limit))
        return found

    def _weights(self, rows: Behaviour, now: Doubles) -> Doubles:
        return self.model.weights.of(rows.event_type, rows.count, rows.value, rows.last_at, now)

    def _vectors(self, join: _Join, offsets: Longs, catalogue_rows: Longs, weights: Doubles) -> Floats:
        model_rows = np.full(len(catalogue_rows), -1, dtype=np.int64)
        known = catalogue_rows >= 0
        model_rows[known] = join.model_row[catalogue_rows[known]]
        return self.model.user_vectors(offsets, model_rows, weights)

    def _facets(
        self,
        join: _Join,
        profiles: Sequence[InterestProfile],
        now: Doubles,
        offsets: Longs,
        catalogue_rows: Longs,
        weights: Doubles,
    ) -> tuple[Longs, Hashes, Floats]:
        sums = _known(offsets, catalogue_rows, weights, len(join.view)) @ join.facets
        parts = []
        for user, profile in enumerate(profiles):
            part = slice(sums.indptr[user], sums.indptr[user + 1])
            hashes, strength = join.hashes[sums.indices[part]], sums.data[part]
            if profile.keywords:
                hashes, strength = _with_keywords(hashes, strength, profile, float(now[user]))
            hashes, strength = _strongest(hashes, strength)
            if profile.declared:
                hashes, strength = _merged(join, hashes, strength, declared_interests(profile))
            order = np.argsort(hashes, kind="stable")
            parts.append((hashes[order], strength[order].astype(np.float32)))
        if not parts:
            return ragged_offsets([]), np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.float32)
        return (
            ragged_offsets([len(hashes) for hashes, _ in parts]),
            np.concatenate([hashes for hashes, _ in parts]),
            np.concatenate([strength for _, strength in parts]),
        )

    def _joined(self, view: CatalogueView, done: Longs | None = None) -> _Join:
        """`done`: model rows of the view's first rows, where known; rows never move."""
        known = np.zeros(0, dtype=np.int64) if done is None else done
        fresh = [self._model_row_by_id.get(view.ids[row], -1) for row in range(len(known), len(view))]
        hashes, column = np.unique(view.facet_hash, return_inverse=True)
        facets = scipy.sparse.csr_array(
            (view.facet_weight.astype(np.float64), column, view.facet_offsets), shape=(len(view), len(hashes))
        )
        model_row = np.concatenate([known, np.array(fresh, dtype=np.int64)])
        return _Join(view, model_row, hashes, facets, facets.tocsc())


def _readable(
    join: _Join, profile: InterestProfile, hashes: Hashes, weights: Floats, limit: int
) -> list[tuple[Facet, float, bool]]:
    declared = declared_interests(profile) if profile.declared else {}
    named = {hashed for facet in declared for hashed in _carried(join, facet)}
    comments = {facet_hash("keyword", keyword): Facet("keyword", keyword) for keyword in profile.keywords}
    found = [(facet, weight, True) for facet, weight in declared.items()]
    for place in np.lexsort((hashes, -weights)):
        if len(found) >= limit:
            break
        hashed = int(hashes[place])
        facet = join.view.facet_name(hashed) or comments.get(hashed)
        if facet is not None and hashed not in named:
            found.append((facet, float(weights[place]), False))
    return sorted(found, key=lambda entry: (-entry[1], entry[0].kind, entry[0].name))


def _known(offsets: Longs, rows: Longs, weights: Doubles, width: int) -> scipy.sparse.csr_array:
    """Ragged weights as a sparse matrix [users, width], leaving out rows of -1 and weights of 0."""
    kept = (rows >= 0) & (weights != 0)
    counts = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(kept, out=counts[1:])
    return scipy.sparse.csr_array((weights[kept], rows[kept], counts[offsets]), shape=(len(offsets) - 1, width))


def _strongest(hashes: Hashes, weights: Doubles) -> tuple[Hashes, Doubles]:
    """The strongest `MAX_FACETS` facets above 0, over the greatest, so that it is 1; ties by lower hash."""
    order = np.lexsort((hashes, -weights))[:MAX_FACETS]
    order = order[weights[order] > 0]
    return hashes[order], weights[order] / (weights[order[0]] if len(order) else 1.0)


def _with_keywords(hashes: Hashes, weights: Doubles, profile: InterestProfile, now: float) -> tuple[Hashes, Doubles]:
    total = dict(zip(hashes.tolist(), weights.tolist(), strict=True))
    for keyword, (decayed, last_at) in sorted(profile.keywords.items()):
        hashed = facet_hash("keyword", keyword)
        strength = TYPE_WEIGHTS[EventType.COMMENT] * decayed * 2.0 ** (-max(now - last_at, 0.0) / KEYWORD_HALF_LIFE_S)
        total[hashed] = total.get(hashed, 0.0) + strength
    return np.array(list(total), dtype=np.uint64), np.array(list(total.values()), dtype=np.float64)


def _merged(join: _Join, hashes: Hashes, weights: Doubles, declared: dict[Facet, float]) -> tuple[Hashes, Doubles]:
    """Learned and declared facets; the declared weight wins, and a declared 0 stays as 0: muted."""
    total = dict(zip(hashes.tolist(), weights.tolist(), strict=True))
    for facet, weight in declared.items():
        for hashed in _carried(join, facet):
            total[hashed] = weight
    return np.array(list(total), dtype=np.uint64), np.array(list(total.values()), dtype=np.float64)


def _carried(join: _Join, facet: Facet) -> list[int]:
    """Hash of the facet; when no item carries it, hashes of the same name under other kinds that items carry."""
    own = facet_hash(facet.kind, facet.name)
    if _column(join, own) is not None:
        return [own]
    others = [facet_hash(kind, facet.name) for kind in FACET_KINDS if kind != facet.kind]
    return [hashed for hashed in others if _column(join, hashed) is not None] or [own]


def _column(join: _Join, hashed: int) -> int | None:
    column = int(np.searchsorted(join.hashes, np.uint64(hashed)))
    return column if column < len(join.hashes) and int(join.hashes[column]) == hashed else None


def _decay(last_at: Doubles, now: Doubles) -> Doubles:
    decayed: Doubles = np.exp2(-np.maximum(now - last_at, 0.0) / SHORT_HALF_LIFE_S)
    return decayed


def _recency(behaviour: Sequence[Behaviour], offsets: Longs, last_at: Doubles) -> Doubles:
    """Decay of each row counted back from its user's latest event, not from now; 0 where it is less than a tenth."""
    latest = np.array([rows.last_at.max(initial=-np.inf) for rows in behaviour])
    recency = np.exp2((last_at - np.repeat(latest, np.diff(offsets))) / RECENT_HALF_LIFE_S)
    return np.where(recency >= LEAST_RECENCY, recency, 0.0)


def _content(
    join: _Join, profiles: Sequence[InterestProfile], offsets: Longs, rows: Longs, weights: Doubles, recency: Doubles
) -> Floats:
    """Content interest vectors [B, CONTENT_VECTORS, E]: means over positively used items, and over declared facets."""
    vectors = join.view.content
    found = np.zeros((len(profiles), CONTENT_VECTORS, vectors.shape[1]), dtype=np.float32)
    if vectors.shape[1] == 0 or not len(profiles):
        return found
    positive = np.maximum(weights, 0.0)
    found[:, 0] = _known(offsets, rows, positive, len(join.view)).astype(np.float32) @ vectors
    found[:, 1] = _known(offsets, rows, positive * recency, len(join.view)).astype(np.float32) @ vectors
    for user, profile in enumerate(profiles):
        if profile.declared:
            found[user, 2] = _declared_vector(join, declared_interests(profile))
    length = np.sqrt((found * found).sum(axis=2, keepdims=True))
    unit: Floats = found / np.where(length > 0, length, np.float32(1.0))
    return unit


def _declared_vector(join: _Join, declared: dict[Facet, float]) -> Floats:
    """Sum over declared facets of weight x the mean content vector of the items that carry the facet."""
    vector = np.zeros(join.view.content.shape[1], dtype=np.float32)
    for facet, weight in sorted(declared.items(), key=lambda entry: (entry[0].kind, entry[0].name)):
        columns = [column for hashed in _carried(join, facet) if (column := _column(join, hashed)) is not None]
        for column in columns:
            carriers = join.carriers.indices[join.carriers.indptr[column] : join.carriers.indptr[column + 1]]
            vector += np.float32(weight) * join.view.content[carriers].mean(axis=0)
    return vector

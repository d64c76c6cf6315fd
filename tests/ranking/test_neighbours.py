"""Neighbours: the nearest others of an item, and what each of a user's items says of a candidate, in a slow way too."""

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import Catalogue
from interest.events import EVENT_CODES, EventType
from interest.items import Item
from interest.model import DAY_S, BehaviourWeights, InterestModel
from interest.store.protocol import ItemChange
from ranking import neighbours
from ranking.batch import CandidateBatch
from ranking.item_statistics import ItemStatistics
from ranking.neighbours import (
    NEAR_FEATURES,
    RECENT_HALF_LIFE_S,
    WEIGHT_HALF_LIFE_S,
    Neighbours,
    NeighbourTable,
    facet_vectors,
)
from ranking.sources import SCORES

ITEMS, WIDTH, NOW = 30, 5, 1_000 * DAY_S
PURCHASE, DISLIKE = EVENT_CODES[EventType.PURCHASE], EVENT_CODES[EventType.DISLIKE]
WORDS = ("red", "blue", "mug", "lamp", "bag", "heart")


def unit(rng: np.random.Generator, rows: int) -> Floats:
    vectors = rng.normal(size=(rows, WIDTH))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = (vectors / lengths).astype(np.float32)
    return found


def catalogue(rng: np.random.Generator) -> Catalogue:
    """Items 0 to ITEMS - 1 with keys of twice their number, and titles of two words."""
    made, vectors = Catalogue(WIDTH), unit(rng, ITEMS)
    titles = [" ".join(rng.choice(WORDS, size=2, replace=False)) for _ in range(ITEMS)]
    made.apply(
        [
            ItemChange(n + 1, 2 * n, f"i{n}", Item(item_id=f"i{n}", title=titles[n]), vectors[n], "")
            for n in range(ITEMS)
        ]
    )
    return made


def model(known: Longs) -> InterestModel:
    vectors = np.ones((len(known), 2), dtype=np.float32)
    return InterestModel([f"i{n}" for n in known], vectors, vectors, BehaviourWeights(100 * DAY_S), heads=2)


def users(rng: np.random.Generator, owned: list[list[int]]) -> UserBatch:
    """Users with these item keys; every third row is a dislike."""
    count, keys = len(owned), np.array([key for keys in owned for key in sorted(keys)], dtype=np.int64)
    at = NOW - rng.uniform(0, 100 * DAY_S, size=len(keys))
    none = np.zeros((count, 2), dtype=np.float32)
    return UserBatch(
        now=np.full(count, NOW),
        vector=none,
        recent_vector=none,
        session_vector=none,
        content=np.zeros((count, 1, WIDTH), dtype=np.float32),
        behaviour_offsets=ragged_offsets([len(keys) for keys in owned]),
        behaviour_item=keys,
        behaviour_type=np.where(np.arange(len(keys)) % 3 == 2, DISLIKE, PURCHASE).astype(np.int8),
        behaviour_count=np.ones(len(keys), dtype=np.int32),
        behaviour_value=np.ones(len(keys)),
        behaviour_first_at=at,
        behaviour_last_at=at,
        behaviour_decayed=np.ones((len(keys), 3)),
        facet_offsets=np.zeros(count + 1, dtype=np.int64),
        facet_hash=np.zeros(0, dtype=np.uint64),
        facet_weight=np.zeros(0, dtype=np.float32),
    )


def candidates(keys: list[list[int]]) -> CandidateBatch:
    flat = np.array([key for part in keys for key in part], dtype=np.int64)
    scores = np.zeros((len(flat), len(SCORES)), dtype=np.float32)
    return CandidateBatch(ragged_offsets([len(part) for part in keys]), flat, scores)


def of_user(batch: UserBatch, user: int) -> UserBatch:
    part = slice(batch.behaviour_offsets[user], batch.behaviour_offsets[user + 1])
    names = ("item", "type", "count", "value", "first_at", "last_at", "decayed")
    own = {f"behaviour_{name}": getattr(batch, f"behaviour_{name}")[part] for name in names}
    of_users = ("now", "vector", "recent_vector", "session_vector", "content")
    own |= {name: getattr(batch, name)[user : user + 1] for name in of_users}
    own |= {"behaviour_offsets": np.array([0, part.stop - part.start])}
    own |= {"facet_offsets": np.zeros(2, dtype=np.int64), "facet_hash": batch.facet_hash}
    return UserBatch(**own, facet_weight=batch.facet_weight)


@pytest.mark.parametrize("count", [1, 4, 100])
def test_the_nearest_others_are_those_of_the_greatest_products(count: int) -> None:
    vectors = unit(np.random.default_rng(3), 12)
    table = NeighbourTable.of(vectors, count)
    kept = min(count, 11)
    assert table.rows.shape == table.likeness.shape == (12, kept)
    for row in range(12):
        products = vectors @ vectors[row]
        products[row] = -np.inf
        nearest = np.sort(np.argsort(-products)[:kept])
        assert_array_equal(table.rows[row], nearest)
        assert_allclose(table.likeness[row], np.maximum(products[nearest], 0.0), rtol=1e-5)


def test_the_table_of_a_sparse_matrix_is_that_of_the_dense_one_and_equals_go_by_the_lower_row() -> None:
    vectors = np.eye(150, dtype=np.float32)[np.arange(600) % 150]  # each is equal to three others, far away
    for table in (NeighbourTable.of(vectors, 2), NeighbourTable.of(scipy.sparse.csr_array(vectors), 2)):
        assert_array_equal(table.likeness, np.ones((600, 2)))
        assert_array_equal(table.rows[[0, 150, 599]], [[150, 300], [0, 300], [149, 299]])


def test_facets_weigh_more_the_fewer_items_have_them() -> None:
    view = catalogue(np.random.default_rng(5)).view()
    rows = np.array([4, -1, 7, 9, 11, 12])
    vectors = facet_vectors(view, rows).toarray()
    assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1, 1, 1], rtol=1e-6)
    carriers = (vectors > 0).sum(axis=0)
    first, second = np.flatnonzero(vectors[0])
    rare, common = (first, second) if carriers[first] < carriers[second] else (second, first)
    assert carriers[rare] < carriers[common]
    expected = (np.log(7 / (1 + carriers[rare])) + 1) / (np.log(7 / (1 + carriers[common])) + 1)
    assert vectors[0, rare] / vectors[0, common] == pytest.approx(expected)


def test_every_item_of_a_user_speaks_for_itself() -> None:
    rng = np.random.default_rng(7)
    view = catalogue(rng).view()
    known = np.arange(0, ITEMS, 2)  # the model knows every second item
    neighbours = ItemStatistics.of(model(known), view).neighbours
    owned = [[0, 4, 8, 10, 26], [2], [], [12, 900, 36]]
    batch = users(rng, owned)
    asked = [[0, 4, 6, 16, 20, 901], [0, 4], [4, 8], [8, 12, 20, 40]]
    found = neighbours.features(batch, candidates(asked))
    expected = [slow(neighbours.tables, batch, user, key) for user, keys in enumerate(asked) for key in keys]
    assert_allclose(found.T, np.array(expected), rtol=1e-5)
    assert np.isnan(found).any(axis=0).tolist() == [False] * 2 + [True] + [False] * 2 + [True] * 5 + [False] * 4
    assert (found[0][~np.isnan(found[0])] > 0).any()


def slow(tables: tuple[NeighbourTable, ...], batch: UserBatch, user: int, key: int) -> list[float]:
    """Item by item; rows of the model are the keys over four, where they divide."""
    part = slice(batch.behaviour_offsets[user], batch.behaviour_offsets[user + 1])
    own = [
        (item // 4, float(np.exp2((at - NOW) / WEIGHT_HALF_LIFE_S)), at)
        for item, kind, at in zip(
            batch.behaviour_item[part].tolist(),
            batch.behaviour_type[part].tolist(),
            batch.behaviour_last_at[part].tolist(),
            strict=True,
        )
        if kind == PURCHASE and item % 4 == 0 and item < 2 * ITEMS
    ]
    if key % 4 or not own:
        return [np.nan] * len(NEAR_FEATURES)
    newest = batch.behaviour_last_at[part].max()
    columns = []
    for table in tables:
        said = [dict(zip(table.rows[row].tolist(), table.likeness[row].tolist(), strict=True)) for row, _, _ in own]
        like = [each.get(key // 4, 0.0) for each in said]
        recent = [
            value * np.exp2((at - newest) / RECENT_HALF_LIFE_S) for value, (_, _, at) in zip(like, own, strict=True)
        ]
        total = sum(weight * value**3 for value, (_, weight, _) in zip(like, own, strict=True))
        columns += [max(like), max(recent), total / np.sqrt(sum(weight**2 for _, weight, _ in own))]
    return columns


def test_a_user_is_told_the_same_alone_and_among_others() -> None:
    rng = np.random.default_rng(11)
    neighbours = ItemStatistics.of(model(np.arange(ITEMS)), catalogue(rng).view()).neighbours
    batch = users(rng, [rng.choice(2 * ITEMS, size=9, replace=False).tolist() for _ in range(6)])
    asked = [sorted(rng.choice(2 * ITEMS, size=12, replace=False).tolist()) for _ in range(6)]
    together = neighbours.features(batch, candidates(asked))
    for user in range(6):
        alone = neighbours.features(of_user(batch, user), candidates([asked[user]]))
        assert_array_equal(together[:, 12 * user : 12 * (user + 1)], alone)


def test_without_a_model_nothing_is_near() -> None:
    rng = np.random.default_rng(1)
    found = Neighbours.nothing().features(users(rng, [[0, 2], []]), candidates([[0, 4], [2]]))
    assert found.shape == (len(NEAR_FEATURES), 3)
    assert np.isnan(found).all()


def test_a_catalogue_too_large_to_compare_has_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    view = catalogue(np.random.default_rng(5)).view()
    monkeypatch.setattr(neighbours, "MOST_ITEMS", ITEMS - 1)
    found = ItemStatistics.of(model(np.arange(ITEMS)), view).neighbours
    assert [table.rows.size for table in found.tables] == [0, 0]
    assert np.isnan(found.features(users(np.random.default_rng(6), [[0, 2]]), candidates([[0, 4]]))).all()

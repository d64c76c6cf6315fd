"""The pool: the best of what the sources name, lifted items first, and the same alone and in company."""

import lightgbm
import numpy as np
import pytest

from interest.batch import Longs, UserBatch, ragged_offsets
from interest.catalogue import Catalogue, CatalogueView
from interest.errors import InvalidRelease
from interest.items import Item
from interest.store.protocol import ItemChange
from ranking.batch import CandidateBatch
from ranking.item_statistics import ItemStatistics
from ranking.pool import Pool
from ranking.pool_features import POOL_FEATURES, pool_columns
from ranking.popularity import Popularity
from ranking.sources import SCORES
from tests.ranking.shelf import pool_trees

ITEMS, NOW = 60, 1_700_000_000.0
SIZES = (50, 20, 0, 33)  # of the users' pools


@pytest.fixture(scope="module")
def view() -> CatalogueView:
    catalogue = Catalogue()
    catalogue.apply(
        [ItemChange(k + 1, k, f"i{k}", Item(item_id=f"i{k}", title=f"Thing {k}"), None, "") for k in range(ITEMS)]
    )
    return catalogue.view()


@pytest.fixture(scope="module")
def trees() -> str:
    return pool_trees()


@pytest.fixture
def pool(trees: str) -> Pool:
    return Pool.of(trees, 50, Popularity(), ItemStatistics.nothing())


def users(number: int) -> UserBatch:
    """Nothing is known of them."""
    none, vectors = np.zeros(0), np.zeros((number, 1), dtype=np.float32)
    return UserBatch(
        now=np.full(number, NOW),
        vector=vectors,
        recent_vector=vectors,
        session_vector=vectors,
        content=np.zeros((number, 1, 0), dtype=np.float32),
        behaviour_offsets=np.zeros(number + 1, dtype=np.int64),
        behaviour_item=none.astype(np.int64),
        behaviour_type=none.astype(np.int8),
        behaviour_count=none.astype(np.int32),
        behaviour_value=none,
        behaviour_first_at=none,
        behaviour_last_at=none,
        behaviour_decayed=np.zeros((0, 3)),
        facet_offsets=np.zeros(number + 1, dtype=np.int64),
        facet_hash=none.astype(np.uint64),
        facet_weight=none.astype(np.float32),
    )


def named(sizes: tuple[int, ...] = SIZES, seed: int = 0) -> CandidateBatch:
    rng = np.random.default_rng(seed)
    keys = [np.sort(rng.permutation(ITEMS)[:size]) for size in sizes]
    scores = rng.normal(size=(sum(sizes), len(SCORES))).astype(np.float32)
    scores[rng.random(scores.shape) < 0.3] = np.nan
    return CandidateBatch(ragged_offsets(sizes), np.concatenate(keys), scores)


def nothing_first(batch: CandidateBatch) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.zeros(len(batch.candidate_item), dtype=np.bool_)


def of(batch: CandidateBatch, user: int) -> Longs:
    return batch.candidate_item[batch.candidate_offsets[user] : batch.candidate_offsets[user + 1]]


def test_the_best_are_those_of_the_trees_ties_by_lower_key(pool: Pool, trees: str, view: CatalogueView) -> None:
    batch, asking = named(), users(len(SIZES))
    found = pool.best(asking, batch, np.array([12, 30, 9, 33]), nothing_first(batch), view)
    columns = pool_columns(asking, batch, view, Popularity(), ItemStatistics.nothing())
    scores = lightgbm.Booster(model_str=trees).predict(np.stack(columns, axis=1).astype(np.float32))
    for user, count in enumerate((12, 30, 9, 33)):
        start, stop = batch.candidate_offsets[user : user + 2]
        order = sorted(range(start, stop), key=lambda row: (-np.float32(scores[row]), batch.candidate_item[row]))
        kept = sorted(order[:count])
        assert of(found, user).tolist() == batch.candidate_item[kept].tolist()
        part = slice(found.candidate_offsets[user], found.candidate_offsets[user + 1])
        np.testing.assert_array_equal(found.candidate_score[part], batch.candidate_score[kept])


def test_marked_items_are_kept_before_all_others(pool: Pool, view: CatalogueView) -> None:
    batch = named()
    plain = pool.best(users(4), batch, np.full(4, 10), nothing_first(batch), view)
    lost = np.flatnonzero(~np.isin(batch.candidate_item[:50], of(plain, 0)))[:7]
    marks = nothing_first(batch)
    marks[lost] = True
    found = pool.best(users(4), batch, np.full(4, 10), marks, view)
    assert set(batch.candidate_item[lost].tolist()) <= set(of(found, 0).tolist())
    assert len(of(found, 0)) == 10
    assert of(found, 1).tolist() == of(plain, 1).tolist()


def test_a_user_gets_the_same_alone_as_in_company(pool: Pool, view: CatalogueView) -> None:
    batch = named()
    together = pool.best(users(4), batch, np.full(4, 10), nothing_first(batch), view)
    for user in range(4):
        part = slice(batch.candidate_offsets[user], batch.candidate_offsets[user + 1])
        alone = CandidateBatch(
            ragged_offsets([SIZES[user]]), batch.candidate_item[part], batch.candidate_score[part].copy()
        )
        assert of(pool.best(users(1), alone, np.array([10]), nothing_first(alone), view), 0).tolist() == (
            of(together, user).tolist()
        )


def test_who_gets_all_of_the_pool_gets_it_as_it_is(pool: Pool, view: CatalogueView) -> None:
    batch = named()
    assert pool.best(users(4), batch, np.array(SIZES), nothing_first(batch), view) is batch


def test_trees_of_other_features_and_other_texts_are_refused() -> None:
    train = lightgbm.Dataset(np.ones((100, 3)), np.ones(100), group=[100])
    text = lightgbm.train({"objective": "lambdarank", "verbosity": -1}, train, 1).model_to_string()
    with pytest.raises(InvalidRelease, match=f"expected {len(POOL_FEATURES)}, found 3"):
        Pool.of(text, 10, Popularity(), ItemStatistics.nothing())
    with pytest.raises(InvalidRelease, match="LightGBM's text format"):
        Pool.of("trees", 10, Popularity(), ItemStatistics.nothing())

"""Reranker: a learned order, ties by lower key, the same scores in every batch, a stated rule without a model."""

import json
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Floats, UserBatch, ragged_offsets
from interest.catalogue import Catalogue
from interest.errors import InvalidRelease
from interest.events import EVENT_CODES, EventType
from interest.features import facet_hash
from interest.items import Item
from interest.store.protocol import ItemChange
from ranking.batch import CandidateBatch, plain_wishes
from ranking.compiled_trees import CompiledTrees
from ranking.features import FEATURES
from ranking.lambdamart import (
    SPREAD_STEP,
    BoosterSettings,
    RankingData,
    continue_booster,
    fit_booster,
    predict,
    save_booster,
)
from ranking.popularity import Popularity
from ranking.reranker import Reranker, fused_scores
from ranking.sources import SCORES

NOW = 1_700_000_000.0
SIGNAL = FEATURES.index("source_collaborative")
SETTINGS = BoosterSettings(feature_fraction=1.0, trees=20, min_rows_in_leaf=5)


def ranking_data(rng: np.random.Generator, queries: int) -> RankingData:
    """The item with the highest collaborative score of each query is the wanted one."""
    values = rng.normal(size=(queries, 30, len(FEATURES))).astype(np.float32)
    labels = np.zeros((queries, 30), dtype=np.float32)
    labels[np.arange(queries), values[:, :, SIGNAL].argmax(axis=1)] = 1
    return RankingData(values.reshape(-1, len(FEATURES)), labels.ravel(), np.full(queries, 30))


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    rng = np.random.default_rng(0)
    return fit_booster(ranking_data(rng, 200), SETTINGS, 1)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    catalogue = Catalogue()
    items = [Item(item_id=str(key), title="", tags=("red",) if key == 3 else ()) for key in range(50)]
    catalogue.apply([ItemChange(key + 1, key, item.item_id, item, None, "") for key, item in enumerate(items)])
    return catalogue


def reranker_of(booster: lightgbm.Booster | None) -> Reranker:
    return Reranker(None if booster is None else CompiledTrees.from_booster(booster), Popularity())


def users_of(number: int) -> UserBatch:
    """Each bought item 40 a minute ago."""
    return UserBatch(
        now=np.full(number, NOW),
        vector=np.zeros((number, 1), dtype=np.float32),
        recent_vector=np.zeros((number, 1), dtype=np.float32),
        session_vector=np.zeros((number, 1), dtype=np.float32),
        content=np.zeros((number, 1, 0), dtype=np.float32),
        behaviour_offsets=np.arange(number + 1),
        behaviour_item=np.full(number, 40),
        behaviour_type=np.full(number, EVENT_CODES[EventType.PURCHASE], dtype=np.int8),
        behaviour_count=np.ones(number, dtype=np.int32),
        behaviour_value=np.ones(number),
        behaviour_first_at=np.full(number, NOW - 60),
        behaviour_last_at=np.full(number, NOW - 60),
        behaviour_decayed=np.ones((number, 3)),
        facet_offsets=np.zeros(number + 1, dtype=np.int64),
        facet_hash=np.zeros(0, dtype=np.uint64),
        facet_weight=np.zeros(0, dtype=np.float32),
    )


def candidates_of(parts: list[list[int]], collaborative: list[list[float]]) -> CandidateBatch:
    scores = np.full((sum(len(part) for part in parts), len(SCORES)), np.nan, dtype=np.float32)
    scores[:, 0] = [score for part in collaborative for score in part]
    items = np.array([item for part in parts for item in part], dtype=np.int64)
    return CandidateBatch(ragged_offsets([len(part) for part in parts]), items, scores)


def test_the_learned_order_is_that_of_the_signal(booster: lightgbm.Booster) -> None:
    data = ranking_data(np.random.default_rng(5), 50)
    best = predict(booster, data.values, 1).reshape(50, 30).argmax(axis=1)
    wanted = data.labels.reshape(50, 30).argmax(axis=1)
    assert (best == wanted).mean() > 0.6  # 0.03 by chance


def test_the_same_seed_gives_the_same_model_text(booster: lightgbm.Booster) -> None:
    rng = np.random.default_rng(0)
    again = fit_booster(ranking_data(rng, 200), SETTINGS, 1)
    assert again.model_to_string() == booster.model_to_string()


def test_half_of_the_trees_are_of_another_loss_and_scores_keep_the_spread_of_the_first() -> None:
    data = ranking_data(np.random.default_rng(3), 200)
    pairwise = fit_booster(data, replace(SETTINGS, trees=1), 1)
    both = fit_booster(data, replace(SETTINGS, trees=2), 1)
    assert (pairwise.num_trees(), both.num_trees(), fit_booster(data, SETTINGS, 1).num_trees()) == (1, 2, 20)
    first, together = predict(pairwise, data.values, 1), predict(both, data.values, 1)
    second = 3 * together - 2 * first
    assert second[::SPREAD_STEP].std() == pytest.approx(first[::SPREAD_STEP].std())
    assert 0.5 < np.corrcoef(first, second)[0, 1] < 0.999  # both have learned the signal, each its own way


def test_the_sum_of_two_losses_learns_on(booster: lightgbm.Booster) -> None:
    new = ranking_data(np.random.default_rng(4), 50)
    longer = continue_booster(booster, new, 5, SETTINGS, 1)
    assert longer.num_trees() == 25
    tail = predict(longer, new.values, 1) - predict(booster, new.values, 1)
    assert_allclose(tail, longer.predict(new.values, start_iteration=20, num_threads=1), atol=1e-12)


def test_best_first_and_at_most_the_wanted_count(booster: lightgbm.Booster, catalogue: Catalogue) -> None:
    candidates = candidates_of([[1, 2, 5], [7, 9]], [[0.1, 3.0, 0.2], [2.0, 0.0]])
    ranked = reranker_of(booster).rank(users_of(2), candidates, np.array([2, 5]), catalogue.view())
    assert_array_equal(ranked.ranked_offsets, [0, 2, 4])
    assert ranked.ranked_item[0] == 2
    assert_array_equal(ranked.ranked_item[2:], [7, 9])
    assert ranked.ranked_score[0] > ranked.ranked_score[1]
    assert_array_equal(ranked.ranked_parts[0], candidates.candidate_score[1])


@pytest.mark.parametrize("learned", [True, False])
def test_equal_scores_go_by_lower_item_key(booster: lightgbm.Booster, catalogue: Catalogue, learned: bool) -> None:
    candidates = candidates_of([[4, 6, 8]], [[1.0, 1.0, 1.0]])
    reranker = reranker_of(booster if learned else None)
    items = [Item(item_id=str(key), title="") for key in range(9)]
    same = Catalogue()
    same.apply([ItemChange(key + 1, key, str(key), item, None, "") for key, item in enumerate(items)])
    values = np.tile(np.float32(0.5), (3, len(FEATURES)))
    assert len(np.unique(fused_scores(values, np.array([0, 3])))) == 1
    ranked = reranker.rank(users_of(1), candidates, np.array([3]), catalogue.view())
    tied = ranked.ranked_score[:-1] == ranked.ranked_score[1:]
    assert (np.diff(ranked.ranked_item)[tied] > 0).all()
    if not learned:
        assert_array_equal(ranked.ranked_item, [4, 6, 8])


@pytest.mark.parametrize("learned", [True, False])
def test_scores_are_bit_equal_in_every_batch(booster: lightgbm.Booster, catalogue: Catalogue, learned: bool) -> None:
    rng = np.random.default_rng(6)
    parts = [sorted(rng.permutation(40)[: rng.integers(0, 30)].tolist()) for _ in range(21)]
    candidates = candidates_of(parts, [rng.normal(size=len(part)).tolist() for part in parts])
    reranker = reranker_of(booster if learned else None)
    together = reranker.rank(users_of(21), candidates, np.full(21, 10), catalogue.view())
    for user in range(21):
        start, stop = candidates.candidate_offsets[user : user + 2]
        own = CandidateBatch(
            np.array([0, stop - start]), candidates.candidate_item[start:stop], candidates.candidate_score[start:stop]
        )
        alone = reranker.rank(users_of(1), own, np.array([10]), catalogue.view())
        part = slice(together.ranked_offsets[user], together.ranked_offsets[user + 1])
        assert_array_equal(alone.ranked_item, together.ranked_item[part])
        assert_array_equal(alone.ranked_score, together.ranked_score[part])


@pytest.mark.parametrize("learned", [True, False])
def test_an_item_with_a_muted_facet_comes_last(booster: lightgbm.Booster, catalogue: Catalogue, learned: bool) -> None:
    muting = replace(
        users_of(1),
        facet_offsets=np.array([0, 1]),
        facet_hash=np.array([facet_hash("tag", "red")], dtype=np.uint64),
        facet_weight=np.zeros(1, dtype=np.float32),
    )
    candidates = candidates_of([[2, 3, 4]], [[0.0, 9.0, 1.0]])
    ranked = reranker_of(booster if learned else None).rank(muting, candidates, np.array([3]), catalogue.view())
    assert ranked.ranked_item[-1] == 3


def test_the_fixed_rule_on_known_numbers() -> None:
    values: Floats = np.full((2, len(FEATURES)), np.nan, dtype=np.float32)
    for name, numbers in {
        "collaborative_share": (1.0, 0.5),
        "source_content": (0.2, np.nan),
        "facet_overlap_share": (np.nan, 0.5),
        "popularity_30d": (2.0, 4.0),
        "own_decayed_180d": (0.0, 1.0),
    }.items():
        values[:, FEATURES.index(name)] = numbers
    found = fused_scores(values, np.array([0, 2, 2]))
    np.testing.assert_allclose(found, [1 + 0.2 + 0.25, 0.5 + 0.5 + 0.5 + 0.5 * np.log(2)])


def test_more_of_a_rising_feature_never_lowers_a_score(booster: lightgbm.Booster) -> None:
    values = ranking_data(np.random.default_rng(9), 20).values.copy()
    before = predict(booster, values, 1)
    values[:, SIGNAL] += 0.5
    assert (predict(booster, values, 1) >= before).all()


def test_no_candidates_make_an_empty_ranking(booster: lightgbm.Booster, catalogue: Catalogue) -> None:
    ranked = reranker_of(booster).rank(
        users_of(2), candidates_of([[], []], [[], []]), np.array([5, 5]), catalogue.view()
    )
    assert_array_equal(ranked.ranked_offsets, [0, 0, 0])


def test_a_saved_model_scores_the_same(booster: lightgbm.Booster, catalogue: Catalogue, tmp_path: Path) -> None:
    save_booster(booster, tmp_path)
    candidates = candidates_of([[1, 2, 5]], [[0.1, 3.0, 0.2]])
    found = [
        reranker.rank(users_of(1), candidates, np.array([3]), catalogue.view()).ranked_score
        for reranker in (reranker_of(booster), Reranker.load(tmp_path, Popularity()))
    ]
    assert_array_equal(found[0], found[1])


def test_a_model_of_other_features_is_an_invalid_release(booster: lightgbm.Booster, tmp_path: Path) -> None:
    save_booster(booster, tmp_path)
    (tmp_path / "reranker.json").write_text(json.dumps({"features": ["horoscope"]}))
    with pytest.raises(InvalidRelease, match="horoscope"):
        Reranker.load(tmp_path, Popularity())


def test_trees_over_another_number_of_features_are_an_invalid_release() -> None:
    with pytest.raises(InvalidRelease, match=f"expected {len(FEATURES)}, found 3"):
        Reranker(CompiledTrees((), 3), Popularity())


def test_a_file_that_is_no_model_is_an_invalid_release(booster: lightgbm.Booster, tmp_path: Path) -> None:
    save_booster(booster, tmp_path)
    (tmp_path / "lambdamart.txt").write_text("not a tree in sight")
    with pytest.raises(InvalidRelease, match="expected a LambdaMART model"):
        Reranker.load(tmp_path, Popularity())


def test_wishes_reach_the_list_and_scores_stay_with_their_items(
    booster: lightgbm.Booster, catalogue: Catalogue
) -> None:
    rng = np.random.default_rng(9)
    candidates = candidates_of([list(range(30))] * 2, rng.normal(size=(2, 30)).tolist())
    reranker, count = Reranker(CompiledTrees.from_booster(booster), Popularity()), np.array([30, 30])
    plain = reranker.rank(users_of(2), candidates, count, catalogue.view())
    assert_array_equal(plain.ranked_propensity, 1.0)
    wishes = replace(
        plain_wishes(2),
        explore_epsilon=np.array([0.0, 1.0]),
        explore_depth=np.array([0, 30]),
        explore_seed=np.array([0, 1], dtype=np.uint64),
    )
    ranked = reranker.rank(users_of(2), candidates, count, catalogue.view(), wishes)
    assert_array_equal(ranked.ranked_item[:30], plain.ranked_item[:30])
    assert (ranked.ranked_item[30:] != plain.ranked_item[30:]).any()
    assert ranked.ranked_propensity[30] == pytest.approx(1 / 30)
    scores = dict(zip(plain.ranked_item[30:].tolist(), plain.ranked_score[30:].tolist(), strict=True))
    assert [scores[item] for item in ranked.ranked_item[30:].tolist()] == ranked.ranked_score[30:].tolist()

"""Compiled trees: the bits of LightGBM's own scores for every kind of tree, missing value and number."""

from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from interest.batch import Doubles, Floats
from ranking.compiled_trees import CompiledTrees
from ranking.tree_loop import BLOCK
from ranking.tree_model import Missing, Tree, parse_trees

FEATURES = 6
LIMITS = np.finfo(np.float32)
EDGES_OF_ZERO = [0.0, -0.0, LIMITS.tiny, LIMITS.smallest_subnormal, 9e-36, 1e-35, -1e-35, 1.1e-35, -1.1e-35]
SPECIAL = np.array([np.nan, np.inf, -np.inf, LIMITS.max, LIMITS.min, 1e30, *EDGES_OF_ZERO], dtype=np.float32)

kinds = st.fixed_dictionaries(
    {
        "num_leaves": st.sampled_from([2, 3, 8, 31, 32, 33, 64, 90]),
        "max_depth": st.sampled_from([-1, 1, 3, 6]),
        "use_missing": st.booleans(),
        "zero_as_missing": st.booleans(),
        "max_bin": st.sampled_from([4, 63, 255]),
    }
)


def some_values(rng: np.random.Generator, rows: int) -> Floats:
    """Real numbers, counts, user features and mostly missing ones, over all magnitudes."""
    values = rng.normal(size=(rows, FEATURES))
    values[:, 1] = np.rint(values[:, 1] * 3)
    values[:, 2] *= 10.0 ** rng.integers(-37, 38, size=rows)
    values[:, 3] = np.where(rng.random(rows) < 0.7, np.nan, values[:, 3])
    values[:, 4] = np.repeat(values[::10, 4], 10)[:rows]
    values[rng.random(values.shape) < 0.1] = 0.0
    values[rng.random(values.shape) < 0.05] = np.nan
    return values.astype(np.float32)


def grow(rng: np.random.Generator, kind: dict[str, Any], trees: int, grown: Any = None) -> lightgbm.Booster:
    """Trees of LambdaMART on 60 queries of 10 rows, after those of `grown`."""
    values, labels = some_values(rng, 600), (rng.random(600) < 0.2).astype(np.float32)
    parameters = {"objective": "lambdarank", "min_data_in_leaf": 2, "min_sum_hessian_in_leaf": 1e-3, "verbosity": -1}
    parameters |= {"num_threads": 1, "learning_rate": 0.3, "seed": 1, "feature_pre_filter": False, **kind}
    data = lightgbm.Dataset(values, labels, group=np.full(60, 10), free_raw_data=False)
    return lightgbm.train(parameters, data, trees, init_model=grown)


def probes(rng: np.random.Generator, booster: lightgbm.Booster, rows: int) -> Floats:
    """Rows where splits decide: their own thresholds and the next numbers on both sides, and every special number."""
    values = some_values(rng, rows)
    _, trees = parse_trees(booster.model_to_string())
    with np.errstate(over="ignore"):
        near = np.concatenate([tree.threshold for tree in trees] + [[0.0]]).astype(np.float32)
        edges = np.concatenate([np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)] + [near, SPECIAL])
    chosen = rng.random(values.shape) < 0.6
    values[chosen] = rng.choice(edges, size=chosen.sum())
    return values


def require_same_bits(found: Doubles, expected: Doubles) -> None:
    assert_array_equal(found.view(np.int64), expected.view(np.int64))


@pytest.mark.thorough
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=kinds, second=kinds, rows=st.integers(1, 3 * BLOCK), seed=st.integers(0, 2**32 - 1))
def test_scores_have_the_bits_of_lightgbm(first: dict[str, Any], second: dict[str, Any], rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    booster = grow(rng, second, 4, grow(rng, first, 4))  # both kinds of missing values in one model, of one feature
    values = probes(rng, booster, rows)
    require_same_bits(CompiledTrees.from_booster(booster).predict(values), booster.predict(values, num_threads=1))


def test_the_property_covers_every_kind_of_missing_value_and_trees_of_several_words() -> None:
    rng = np.random.default_rng(0)
    kinds_of = [{"use_missing": False}, {"zero_as_missing": True}, {}]
    seen: set[tuple[int, bool]] = set()
    for kind in kinds_of:
        booster = grow(rng, {"num_leaves": 90, **kind}, 8)
        _, trees = parse_trees(booster.model_to_string())
        assert max(len(tree.leaf_value) for tree in trees) > 64
        for tree in trees:
            seen |= set(zip(tree.missing.tolist(), tree.default_left.tolist(), strict=True))
    assert {(Missing.ZERO, False), (Missing.ZERO, True), (Missing.NAN, False), (Missing.NAN, True)} <= seen
    assert Missing.NOTHING in {missing for missing, _ in seen}


@pytest.mark.thorough
def test_labels_that_teach_nothing_make_trees_of_one_leaf() -> None:
    values = some_values(np.random.default_rng(3), 100)
    data = lightgbm.Dataset(values, np.zeros(100), group=[50, 50])
    booster = lightgbm.train({"objective": "lambdarank", "verbosity": -1, "num_threads": 1}, data, 3)
    _, trees = parse_trees(booster.model_to_string())
    assert [len(tree.leaf_value) for tree in trees] == [1] * len(trees)
    require_same_bits(CompiledTrees.from_booster(booster).predict(values), booster.predict(values, num_threads=1))


@pytest.mark.parametrize("falls_left", [True, False])
def test_a_tree_as_deep_as_it_has_leaves(falls_left: bool) -> None:
    """2,000 splits in a chain on one feature; the expected leaf is found by bisection."""
    count = 2_000
    split, leaves = np.arange(count), np.random.default_rng(4).normal(size=count + 1)
    onwards = np.r_[split[1:], ~count]
    tree = Tree(
        feature=np.zeros(count, dtype=np.int64),
        threshold=(count - 1 - split if falls_left else split).astype(np.float64),
        missing=np.full(count, Missing.NAN, dtype=np.int8),
        default_left=np.zeros(count, dtype=np.bool_),
        left=onwards if falls_left else ~split,
        right=~split if falls_left else onwards,
        leaf_value=leaves,
    )
    values = np.random.default_rng(5).uniform(-1, count, size=(500, 1)).astype(np.float32)
    passed = np.searchsorted(np.arange(count), values[:, 0], side="left")  # thresholds below the value
    expected = leaves[count - passed] if falls_left else leaves[passed]
    assert_array_equal(CompiledTrees((tree,), 1).predict(values), expected)


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return grow(np.random.default_rng(6), {"num_leaves": 31}, 5)


def test_rows_score_the_same_in_every_layout_and_batch(booster: lightgbm.Booster) -> None:
    trees, values = CompiledTrees.from_booster(booster), some_values(np.random.default_rng(7), 300)
    expected = trees.predict(values)
    locked = values.copy()
    locked.flags.writeable = False
    for same in (locked, np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2]):
        require_same_bits(trees.predict(same), expected)
    for start, stop in ((0, 1), (5, 5 + BLOCK), (299, 300)):
        require_same_bits(trees.predict(values[start:stop]), expected[start:stop])
    assert trees.predict(values[:0]).shape == (0,)
    require_same_bits(trees.predict(values), expected)


@pytest.mark.parametrize(
    "values", [np.zeros((2, FEATURES)), np.zeros((2, FEATURES - 1), dtype=np.float32), np.zeros(6, dtype=np.float32)]
)
def test_other_numbers_than_the_features_are_refused(booster: lightgbm.Booster, values: Any) -> None:
    with pytest.raises(ValueError, match=r"expected float32 \[N, 6\]"):
        CompiledTrees.from_booster(booster).predict(values)

"""LightGBM's text format: read whole, or refused with what is wrong."""

import re

import lightgbm
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from interest.errors import InvalidRelease
from ranking.tree_model import parse_trees


def fitted(**parameters: object) -> str:
    """The text of a model of 4 trees of 5 leaves over 3 features, the last of which holds whole numbers."""
    rng = np.random.default_rng(0)
    values = np.c_[rng.normal(size=(200, 2)), rng.integers(0, 5, size=200)]
    labels = (values[:, 0] + (values[:, 2] == 2) > 1).astype(np.float64)
    settings = {
        "objective": "lambdarank",
        "num_leaves": 5,
        "min_data_in_leaf": 5,
        "verbosity": -1,
        "num_threads": 1,
        **parameters,
    }
    data = lightgbm.Dataset(values, labels, group=[20] * 10, params={"verbosity": -1})
    text: str = lightgbm.train(settings, data, 4).model_to_string()
    return text


@pytest.fixture(scope="module")
def text() -> str:
    return fitted()


def test_the_trees_are_those_of_lightgbm(text: str) -> None:
    features, trees = parse_trees(text)
    dumped = lightgbm.Booster(model_str=text).dump_model()["tree_info"]
    assert (features, len(trees)) == (3, 4)
    for tree, known in zip(trees, dumped, strict=True):
        root = known["tree_structure"]
        assert (tree.feature[0], tree.threshold[0]) == (root["split_feature"], root["threshold"])
        assert tree.default_left[0] == root["default_left"]
        assert len(tree.leaf_value) == known["num_leaves"]


def test_a_leaf_value_keeps_its_last_bit(text: str) -> None:
    _, trees = parse_trees(text)
    booster = lightgbm.Booster(model_str=text)
    known = [[booster.get_leaf_output(place, leaf) for leaf in range(5)] for place in range(4)]
    assert_array_equal([tree.leaf_value for tree in trees], known)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"objective": "regression"}, "objective of the model: expected lambdarank, found regression"),
        ({"categorical_feature": [2], "min_data_per_group": 1, "cat_smooth": 0}, "categorical splits"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "random forest"),
    ],
)
@pytest.mark.filterwarnings("ignore:categorical_feature")
def test_other_models_of_lightgbm_are_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRelease, match=message):
        parse_trees(fitted(**parameters))


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"version=v4", "version=v9", "version of the model: expected v4, found v9"),
        (r"num_class=1", "num_class=3", "num_class of the model: expected 1, found 3"),
        (r"max_feature_idx=2", "max_feature_idx=0", "features must be 0 to 0"),
        (r"num_leaves=5", "num_leaves=6", "expected 6 leaves and one split fewer"),
        (r"leaf_value=\S+ ", "leaf_value=", "found 4 leaves and"),
        (r"threshold=\S+", "threshold=nan", "not a number"),
        (r"threshold=\S+", "threshold=high", "could not convert"),
        (r"decision_type=\S+", "decision_type=12", "unknown kind of missing value"),
        (r"decision_type=\S+", "decision_type=1", "categorical splits are not supported"),
        (r"is_linear=0", "is_linear=1", "linear leaves"),
        (r"left_child=\S+", "left_child=0", "do not make one tree"),
        (r"right_child=\S+", "right_child=-9", "do not make one tree"),
        (r"tree_sizes=\S+ ", "tree_sizes=", "expected 3 trees"),
        (r"leaf_value=", "leaf_values=", "leaf_value"),
        (r"end of trees", "", "expected 4 trees and the line 'end of trees'"),
    ],
)
def test_a_damaged_model_is_refused_with_what_is_wrong(text: str, pattern: str, replacement: str, message: str) -> None:
    damaged, changes = re.subn(pattern, replacement, text, count=1)
    assert changes == 1
    with pytest.raises(InvalidRelease, match=message):
        parse_trees(damaged)


def test_half_a_file_is_refused(text: str) -> None:
    for share in (0.0, 0.1, 0.3, 0.5, 0.6):
        with pytest.raises(InvalidRelease):
            parse_trees(text[: int(share * text.index("end of trees"))])

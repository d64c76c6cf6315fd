"""Reads the trees of LightGBM's text format without LightGBM: a replica that only scores imports no trainer.

Source: LightGBM 4 (`Tree::ToString`, `Tree::NumericalDecision` in include/LightGBM/tree.h; `GBDT::SaveModelToString`).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Longs
from interest.errors import InvalidRelease

_OBJECTIVE = "lambdarank"  # its raw sum is the score; others may transform it
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT, _MISSING_MASK = 1, 2, 2, 3  # bits of decision_type


class Missing(IntEnum):
    """What a split takes for missing, and so sends to its default side."""

    NOTHING = 0  # NaN counts as 0
    ZERO = 1  # 0 and NaN
    NAN = 2


@dataclass(frozen=True, slots=True)
class Tree:
    """A value `x` goes left where `x <= threshold`, or where it is missing and `default_left`.

    Splits are numbered from the root, 0; a child below 0 is the leaf `~child`. A tree of one leaf has no splits.
    """

    feature: Longs  # [splits]
    threshold: Doubles  # [splits]; inf where LightGBM only parts NaN from the rest
    missing: npt.NDArray[np.int8]  # [splits] codes of `Missing`
    default_left: npt.NDArray[np.bool_]  # [splits]
    left: Longs  # [splits]
    right: Longs  # [splits]
    leaf_value: Doubles  # [splits + 1]


def parse_trees(text: str) -> tuple[int, tuple[Tree, ...]]:
    """The number of features and the trees in the order in which LightGBM adds them.

    Raises `InvalidRelease` for text that is no whole LambdaMART model, and for what this program does not score:
    categorical splits, linear leaves, several classes, averaged forests.
    """
    try:
        body, ending, _ = text.partition("\nend of trees")
        header, *parts = body.split("\nTree=")
        fields = _fields(header)
        announced = len(fields["tree_sizes"].split())
        features = int(fields["max_feature_idx"]) + 1
        if not ending or len(parts) != announced:
            raise InvalidRelease(f"expected {announced} trees and the line 'end of trees', found {len(parts)} trees")
        _refuse_other_kinds(header, fields)
        return features, tuple(_tree(_fields(part), features, place) for place, part in enumerate(parts))
    except (KeyError, ValueError) as error:
        raise InvalidRelease(f"expected LightGBM's text format, found {error!r}") from error


def _fields(lines: str) -> dict[str, str]:
    return {name: value for name, equals, value in (line.partition("=") for line in lines.splitlines()) if equals}


def _refuse_other_kinds(header: str, fields: dict[str, str]) -> None:
    expected = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "objective": _OBJECTIVE}
    for name, value in expected.items():
        if fields.get(name) != value:
            raise InvalidRelease(f"{name} of the model: expected {value}, found {fields.get(name)}")
    if "average_output" in header.splitlines():
        raise InvalidRelease("a random forest averages its trees: expected a sum of trees")


def _tree(fields: dict[str, str], features: int, place: int) -> Tree:
    leaves = int(fields["num_leaves"])
    if int(fields["num_cat"]) or int(fields.get("is_linear", "0")):
        raise InvalidRelease(f"tree {place}: categorical splits and linear leaves are not supported")
    if leaves == 1:
        leaf, split = np.array([float(fields["leaf_value"])]), np.zeros(0, dtype=np.int64)
        return Tree(split, np.zeros(0), split.astype(np.int8), split.astype(np.bool_), split, split, leaf)
    decision = _whole(fields["decision_type"])
    tree = Tree(
        feature=_whole(fields["split_feature"]),
        threshold=_real(fields["threshold"]),
        missing=(decision >> _MISSING_SHIFT & _MISSING_MASK).astype(np.int8),
        default_left=(decision & _DEFAULT_LEFT) > 0,
        left=_whole(fields["left_child"]),
        right=_whole(fields["right_child"]),
        leaf_value=_real(fields["leaf_value"]),
    )
    _require_whole(tree, leaves, features, place)
    if (decision & _CATEGORICAL).any():
        raise InvalidRelease(f"tree {place}: categorical splits are not supported")
    return tree


def _require_whole(tree: Tree, leaves: int, features: int, place: int) -> None:
    """Arrays of one length, features and codes in range, and every split and leaf the child of one earlier split."""
    splits = {len(getattr(tree, name)) for name in ("feature", "threshold", "missing", "left", "right")}
    if splits != {leaves - 1} or len(tree.leaf_value) != leaves:
        found = f"{len(tree.leaf_value)} leaves and {sorted(splits)} splits"
        raise InvalidRelease(f"tree {place}: expected {leaves} leaves and one split fewer, found {found}")
    if not ((tree.feature >= 0) & (tree.feature < features)).all():
        raise InvalidRelease(f"tree {place}: features must be 0 to {features - 1}, found {tree.feature.tolist()}")
    if tree.missing.max() > max(Missing) or np.isnan(tree.threshold).any():
        raise InvalidRelease(f"tree {place}: unknown kind of missing value, or a threshold that is not a number")
    children = np.concatenate([tree.left, tree.right])
    parents = np.tile(np.arange(leaves - 1), 2)
    once = np.array_equal(np.sort(children), np.r_[np.arange(-leaves, 0), np.arange(1, leaves - 1)])
    if not once or not (children > parents)[children >= 0].all():
        raise InvalidRelease(f"tree {place}: its splits do not make one tree")


def _whole(numbers: str) -> Longs:
    return np.array(numbers.split(), dtype=np.int64)


def _real(numbers: str) -> Doubles:
    return np.array(numbers.split(), dtype=np.float64)

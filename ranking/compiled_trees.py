"""Scores rows with LightGBM's trees, compiled: the same bits as `lightgbm.Booster.predict`, without LightGBM."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from interest.batch import Doubles, Floats
from ranking.tree_loop import ALL, DE_BRUIJN, DE_BRUIJN_SHIFT, LEAVES, TOGETHER, Ints, Words, compiled_score
from ranking.tree_model import Missing, Tree, parse_trees


class Booster(Protocol):
    """What is asked of a `lightgbm.Booster`, so that nobody imports LightGBM for its name."""

    def model_to_string(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Tables:
    """The trees as the compiled loop reads them.

    A column is a feature with its missing values replaced by what makes the test of a split come out on their side:
    -inf is always left, NaN never. Splits that treat missing values differently read different columns.
    """

    column_feature: Ints  # [columns], ascending
    column_nan: Floats  # [columns] what NaN becomes
    column_zero: Floats  # [columns] what 0 becomes
    test_column: Ints  # [tests]
    test_threshold: Floats  # [tests] the greatest float32 that goes left
    test_keeps: Words  # [tests] the leaves that stay where the test fails
    word_tests: Ints  # [words + 1] tests of each word; their numbers are multiples of TOGETHER
    tree_words: Ints  # [trees + 1] words of each tree, its leaves from left to right
    leaf_value: Doubles  # [words, LEAVES] in the order of `_by_de_bruijn`


class CompiledTrees:
    """The trees of one LambdaMART model. `compile_s`: how long this process took to compile the loop, or load it."""

    def __init__(self, trees: tuple[Tree, ...], features: int) -> None:
        self._tables = _tables(trees)
        self.features = features
        self._score, self.compile_s = compiled_score()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Of LightGBM's text format. Raises `InvalidRelease` when it is none, or a kind that `parse_trees` refuses."""
        features, trees = parse_trees(text)
        return cls(trees, features)

    @classmethod
    def from_booster(cls, booster: Booster) -> Self:
        """Of a booster; `InvalidRelease` as `from_text`."""
        return cls.from_text(booster.model_to_string())

    def predict(self, values: Floats) -> Doubles:
        """Raw scores float64 [N] of float32 [N, features], bit-equal to LightGBM's; the lock of Python is released."""
        if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != self.features:
            raise ValueError(f"values: expected float32 [N, {self.features}], found {values.dtype} {values.shape}")
        tables, scores = self._tables, np.empty(len(values))
        self._score(
            np.ascontiguousarray(values.T),  # no copy of what `make_features` returns
            *[tables.column_feature, tables.column_nan, tables.column_zero],
            *[tables.test_column, tables.test_threshold, tables.test_keeps],
            *[tables.word_tests, tables.tree_words, tables.leaf_value],
            scores,
        )
        return scores


def _tables(trees: tuple[Tree, ...]) -> _Tables:
    splits = [(tree, split) for tree in trees for split in range(len(tree.feature))]
    columns = sorted({_column(tree, split) for tree, split in splits})
    place = {column: number for number, column in enumerate(columns)}
    kinds = [_replacements(Missing(missing), default_left) for _, missing, default_left in columns]
    tests: list[tuple[int, np.float32, int]] = []  # column, threshold, kept leaves
    word_tests, tree_words, leaf_value = [0], [0], []
    for tree in trees:
        order, under_left = _left_to_right(tree)
        threshold = _rounded_down(tree.threshold)
        for first in range(0, len(order), LEAVES):
            tests += sorted(
                (place[_column(tree, split)], threshold[split], int(ALL) & ~_bits(leaves, first))
                for split, leaves in enumerate(under_left)
                if _bits(leaves, first)
            )  # by column: the processor's nearest cache holds a few
            tests.extend([(0, np.float32(0), int(ALL))] * (-len(tests) % TOGETHER))
            word_tests.append(len(tests))
            leaf_value.append(_by_de_bruijn(tree.leaf_value[order[first : first + LEAVES]]))
        tree_words.append(len(leaf_value))
    return _Tables(
        column_feature=np.array([feature for feature, _, _ in columns], dtype=np.int32),
        column_nan=np.array([nan for nan, _ in kinds], dtype=np.float32),
        column_zero=np.array([zero for _, zero in kinds], dtype=np.float32),
        test_column=np.array([column for column, _, _ in tests], dtype=np.int32),
        test_threshold=np.array([threshold for _, threshold, _ in tests], dtype=np.float32),
        test_keeps=np.array([keeps for _, _, keeps in tests], dtype=np.uint32),
        word_tests=np.array(word_tests, dtype=np.int32),
        tree_words=np.array(tree_words, dtype=np.int32),
        leaf_value=np.array(leaf_value).reshape(-1, LEAVES),
    )


def _column(tree: Tree, split: int) -> tuple[int, int, bool]:
    """Feature, kind of missing value, default side. Where nothing is missing, the side does not matter."""
    missing = int(tree.missing[split])
    return int(tree.feature[split]), missing, bool(tree.default_left[split]) and missing != Missing.NOTHING


def _replacements(missing: Missing, default_left: bool) -> tuple[float, float]:
    """What NaN and what 0 become."""
    default = -np.inf if default_left else np.nan
    return {Missing.NOTHING: (0.0, 0.0), Missing.ZERO: (default, default), Missing.NAN: (default, 0.0)}[missing]


def _left_to_right(tree: Tree) -> tuple[list[int], list[range]]:
    """The leaves from left to right, and for each split the places in that order of the leaves under its left child."""
    order: list[int] = []
    starts = [0] * len(tree.feature)
    under_left = [range(0)] * len(tree.feature)
    waiting: list[tuple[int, bool]] = [(0 if len(tree.feature) else -1, False)]
    while waiting:  # not by recursion: a tree may be as deep as it has leaves
        node, left_is_done = waiting.pop()
        if node < 0:
            order.append(~node)
        elif left_is_done:
            under_left[node] = range(starts[node], len(order))
            waiting.append((int(tree.right[node]), False))
        else:
            starts[node] = len(order)
            waiting += [(node, True), (int(tree.left[node]), False)]
    return order, under_left


def _bits(leaves: range, first: int) -> int:
    """The bits of `leaves` in the word that begins with leaf `first`; 0 where it holds none of them."""
    start, stop = max(leaves.start - first, 0), min(leaves.stop - first, LEAVES)
    return (1 << stop) - (1 << start) if start < stop else 0


def _rounded_down(thresholds: Doubles) -> Floats:
    """The greatest float32 not above each: a float32 is at most the one exactly when it is at most the other."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    down: Floats = np.where(near.astype(np.float64) > thresholds, below, near)
    return down


def _by_de_bruijn(values: Doubles) -> Doubles:
    """The values of up to LEAVES leaves, each at the place that `_score` computes from its bit."""
    placed = np.zeros(LEAVES)
    bits = np.uint32(1) << np.arange(len(values), dtype=np.uint32)
    placed[bits * DE_BRUIJN >> DE_BRUIJN_SHIFT] = values
    return placed

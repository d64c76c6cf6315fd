"""The loop that scores rows with an ensemble of regression trees, compiled to machine code.

Source: Lucchese, C. et al. (2015), "QuickScorer: a fast algorithm to rank documents with additive ensembles of
regression trees", SIGIR, in its form for many documents at once (2016, "Exploiting CPU SIMD extensions to speed-up
document scoring with tree ensembles"). A tree of up to 32 leaves is a word of bits, one a leaf from left to right. A
split whose test fails clears the leaves under its left child, in whatever order the splits are tested, and the row
ends in the lowest leaf that is left. So every split is tested, for a block of rows in a loop without branches that
the compiler turns into vector instructions.

Numba keeps its machine code for as long as this file does not change: every constant of the loop is born here.
"""

from collections.abc import Callable
from functools import cache

import numba
import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats
from ranking.machine_code import machine_code

Ints = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]

BLOCK = 160  # rows at a time, half a usual list: their columns fit the second-level cache, those of one tree the first
TOGETHER = 6  # tests between one load and store of the words
LEAVES = 32  # bits of a word; larger trees take several words
ALL = np.uint32(0xFFFFFFFF)
NO_LEAF = np.uint32(0)
ZERO = np.float32(1e-35)  # LightGBM's kZeroThreshold: it reads values no larger than this as 0
# The place of a word's lowest bit without a loop: Leiserson, Prokop and Randall (1998), "Using de Bruijn sequences to
# index a 1 in a computer word". The values of a word's leaves lie in the order that this multiplication gives.
DE_BRUIJN, DE_BRUIJN_SHIFT = np.uint32(0x077CB531), np.uint32(27)

_SIGNATURE = numba.void(
    numba.types.Array(numba.float32, 2, "C", readonly=True),  # values, [features, rows]
    *[numba.int32[::1], numba.float32[::1], numba.float32[::1]],  # column_*
    *[numba.int32[::1], numba.float32[::1], numba.uint32[::1]],  # test_*
    *[numba.int32[::1], numba.int32[::1], numba.float64[:, ::1]],  # word_tests, tree_words, leaf_value
    numba.float64[::1],  # scores
)


@cache
def compiled_score() -> tuple[Callable[..., None], float]:
    """The loop as machine code for this processor, and the seconds that took: once a process, and before a request."""
    return machine_code(_score, _SIGNATURE)


def _fill_columns(
    values: Floats, start: int, rows: int, feature: Ints, nan: Floats, zero: Floats, raw: Floats, columns: Floats
) -> None:
    """`columns` [columns, BLOCK] of `rows` rows of `values` [features, N]; what lies beyond nobody reads."""
    last = -1
    for column in range(len(feature)):
        if feature[column] != last:
            last = feature[column]
            for row in range(rows):
                raw[row] = values[last, start + row]
        for_nan, for_zero = nan[column], zero[column]
        for row in range(BLOCK):
            value = raw[row]
            number = for_zero if abs(value) <= ZERO else value
            columns[column, row] = number if value == value else for_nan  # NaN is not equal to itself


def _test_word(
    first: int, stop: int, test_column: Ints, test_threshold: Floats, test_keeps: Words, columns: Floats, words: Words
) -> None:
    """`words` [BLOCK]: the leaves that the tests `first` to `stop` leave to each row."""
    for row in range(BLOCK):
        words[row] = ALL
    for test in range(
        first, stop, TOGETHER
    ):  # what the loop over rows reads is named before it: no check is left in it
        at_0, most_0, keeps_0 = columns[test_column[test]], test_threshold[test], test_keeps[test]
        at_1, most_1, keeps_1 = columns[test_column[test + 1]], test_threshold[test + 1], test_keeps[test + 1]
        at_2, most_2, keeps_2 = columns[test_column[test + 2]], test_threshold[test + 2], test_keeps[test + 2]
        at_3, most_3, keeps_3 = columns[test_column[test + 3]], test_threshold[test + 3], test_keeps[test + 3]
        at_4, most_4, keeps_4 = columns[test_column[test + 4]], test_threshold[test + 4], test_keeps[test + 4]
        at_5, most_5, keeps_5 = columns[test_column[test + 5]], test_threshold[test + 5], test_keeps[test + 5]
        for row in range(BLOCK):
            word = words[row]
            word &= ALL if at_0[row] <= most_0 else keeps_0
            word &= ALL if at_1[row] <= most_1 else keeps_1
            word &= ALL if at_2[row] <= most_2 else keeps_2
            word &= ALL if at_3[row] <= most_3 else keeps_3
            word &= ALL if at_4[row] <= most_4 else keeps_4
            word &= ALL if at_5[row] <= most_5 else keeps_5
            words[row] = word


def _lowest_bit(word: np.uint32) -> np.uint32:
    """Where the value of the lowest leaf in `word` lies."""
    return np.uint32((word & np.uint32(-word)) * DE_BRUIJN) >> DE_BRUIJN_SHIFT


_fill, _test, _lowest = (numba.njit(error_model="numpy")(part) for part in (_fill_columns, _test_word, _lowest_bit))


def _score(
    values: Floats,
    column_feature: Ints,
    column_nan: Floats,
    column_zero: Floats,
    test_column: Ints,
    test_threshold: Floats,
    test_keeps: Words,
    word_tests: Ints,
    tree_words: Ints,
    leaf_value: Doubles,
    scores: Doubles,
) -> None:
    """Writes `scores` [N]: the trees are added in their order, from 0, as LightGBM does."""
    columns, raw = np.zeros((len(column_feature), BLOCK), np.float32), np.zeros(BLOCK, np.float32)
    words, found, sums = np.empty(BLOCK, np.uint32), np.zeros(BLOCK), np.empty(BLOCK)
    for start in range(0, len(scores), BLOCK):
        rows = min(BLOCK, len(scores) - start)
        _fill(values, start, rows, column_feature, column_nan, column_zero, raw, columns)
        for row in range(BLOCK):
            sums[row] = 0.0
        for tree in range(len(tree_words) - 1):
            first, last = tree_words[tree], tree_words[tree + 1] - 1
            for word in range(last, first - 1, -1):  # the lowest leaf counts, so an earlier word overrules a later one
                _test(word_tests[word], word_tests[word + 1], test_column, test_threshold, test_keeps, columns, words)
                values_of_word = leaf_value[word]
                if first == last:  # the usual tree: its one word holds every row's leaf
                    for row in range(BLOCK):  # by itself, this one becomes vector instructions
                        words[row] = _lowest(words[row])
                    for row in range(BLOCK):
                        sums[row] += values_of_word[words[row]]
                else:
                    for row in range(BLOCK):
                        found[row] = values_of_word[_lowest(words[row])] if words[row] != NO_LEAF else found[row]
            if first != last:
                for row in range(BLOCK):
                    sums[row] += found[row]
        for row in range(rows):
            scores[start + row] = sums[row]

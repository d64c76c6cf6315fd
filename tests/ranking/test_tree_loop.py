"""The compiled loop: kept between starts where that is possible, and just as good where it is not."""

import logging

import numpy as np
import pytest
from numba.core.caching import CompileResultCacheImpl
from numpy.testing import assert_array_equal

import ranking.tree_loop
from ranking.compiled_trees import CompiledTrees
from ranking.tree_model import Missing, Tree

TREE = Tree(
    feature=np.array([0]),
    threshold=np.array([0.5]),
    missing=np.array([Missing.NAN], dtype=np.int8),
    default_left=np.array([True]),
    left=np.array([-1]),
    right=np.array([-2]),
    leaf_value=np.array([1.0, 2.0]),
)


def test_a_process_compiles_once_and_says_how_long_it_took() -> None:
    first, second = CompiledTrees((TREE,), 1), CompiledTrees((TREE, TREE), 1)
    assert first.compile_s == second.compile_s > 0
    values = np.array([[0.5], [0.75], [np.nan]], dtype=np.float32)
    assert_array_equal(first.predict(values), [1.0, 2.0, 1.0])
    assert_array_equal(second.predict(values), [2.0, 4.0, 2.0])


@pytest.mark.thorough  # compiles without the cache
def test_without_a_folder_to_keep_machine_code_in_every_start_compiles(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(CompileResultCacheImpl, "_locator_classes", [])
    compiled = ranking.tree_loop.compiled_score.__wrapped__()
    assert "no locator available" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    monkeypatch.setattr("ranking.compiled_trees.compiled_score", lambda: compiled)
    trees = CompiledTrees((TREE,), 1)
    assert_array_equal(trees.predict(np.array([[0.75]], dtype=np.float32)), [2.0])

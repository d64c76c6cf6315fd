"""What any item index must do: exactly what a full sort over NumPy does, under any filter and exclusion."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interest.batch import Floats, Longs, ragged_offsets
from ranking import index as module
from ranking.index import ItemIndex, Mask

ONLINE_RETAIL_ITEMS = 3_850
MOST_SEEN = 1_651  # by one user of that set


def brute_force(
    keys: Longs, vectors: Floats, query: Floats, k: int, eligible: Mask | None, excluded: set[int]
) -> list[int]:
    allowed = [
        row
        for row, key in enumerate(keys.tolist())
        if key not in excluded and (eligible is None or (key < len(eligible) and eligible[key]))
    ]
    scores = vectors.astype(np.float64) @ query.astype(np.float64)
    return [int(keys[row]) for row in sorted(allowed, key=lambda row: (-scores[row], keys[row]))[:k]]


def world(rng: np.random.Generator, items: int, dims: int = 16) -> tuple[ItemIndex, Longs, Floats]:
    keys = rng.permutation(2 * items)[:items].astype(np.int64)
    vectors = rng.normal(size=(items, dims)).astype(np.float32)
    index = ItemIndex(dims)
    index.build(keys, vectors)
    return index, keys, vectors


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_search_equals_brute_force_after_any_changes(data: st.DataObject) -> None:
    """Small whole numbers make every score exact and ties frequent."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    dims, k = 4, data.draw(st.integers(1, 12))
    held: dict[int, Floats] = {}
    index = ItemIndex(dims)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DELTA_ROWS", data.draw(st.sampled_from([0, 5, 1_000])))
        patch.setattr(module, "SCAN_SHARE", data.draw(st.sampled_from([0.0, 0.05])))
        for step in data.draw(st.lists(st.sampled_from(["build", "upsert", "remove"]), max_size=4)):
            keys = rng.choice(60, size=data.draw(st.integers(0, 50)), replace=False).astype(np.int64)
            vectors = rng.integers(-2, 3, size=(len(keys), dims)).astype(np.float32)
            if step == "build":
                held.clear()
                index.build(keys, vectors)
            if step == "upsert":
                index.upsert(keys, vectors)
            if step == "remove":
                index.remove(keys)
                for key in keys.tolist():
                    held.pop(key, None)
            else:
                held.update(zip(keys.tolist(), vectors, strict=True))
        users = data.draw(st.integers(1, 20))
        queries = rng.integers(-2, 3, size=(users, dims)).astype(np.float32)
        excluded = [rng.choice(70, size=rng.integers(0, 30), replace=False) for _ in range(users)]
        eligible = data.draw(st.sampled_from([None, rng.random(55) < 0.5, rng.random(65) < 0.03]))
        found, scores = index.search(
            queries, k, eligible, ragged_offsets([len(part) for part in excluded]), np.concatenate(excluded)
        )
    assert len(index) == len(held)
    all_keys = np.array(list(held), dtype=np.int64)
    all_vectors = np.array(list(held.values()), dtype=np.float32).reshape(len(held), dims)
    for user in range(users):
        left_out = set(excluded[user].tolist())
        expected = brute_force(all_keys, all_vectors, queries[user], k, eligible, left_out)
        assert found[user].tolist() == expected + [-1] * (k - len(expected))
        assert np.isnan(scores[user]).sum() == k - len(expected)
        np.testing.assert_array_equal(
            scores[user, : len(expected)], [float(queries[user] @ held[key]) for key in expected]
        )


def test_one_in_a_thousand_eligible_still_fills_the_reply() -> None:
    rng = np.random.default_rng(1)
    index, keys, vectors = world(rng, 20_000)
    eligible = np.zeros(40_000, dtype=bool)
    eligible[rng.choice(keys, size=20, replace=False)] = True
    queries = rng.normal(size=(5, 16)).astype(np.float32)
    found, _ = index.search(queries, 10, eligible)
    for user in range(5):
        assert found[user].tolist() == brute_force(keys, vectors, queries[user], 10, eligible, set())


def test_a_user_who_excludes_1651_of_3850_items_gets_a_full_and_exact_reply() -> None:
    rng = np.random.default_rng(2)
    index, keys, vectors = world(rng, ONLINE_RETAIL_ITEMS)
    queries = rng.normal(size=(40, 16)).astype(np.float32)
    best = brute_force(keys, vectors, queries[0], MOST_SEEN, None, set())  # the very best ones are gone
    offsets = ragged_offsets([MOST_SEEN] + [0] * 39)
    for k in (10, 300, ONLINE_RETAIL_ITEMS - MOST_SEEN):
        found, _ = index.search(queries, k, None, offsets, np.array(best))
        assert found[0].tolist() == brute_force(keys, vectors, queries[0], k, None, set(best))
        assert found[39].tolist() == brute_force(keys, vectors, queries[39], k, None, set())


def test_filter_and_exclusions_together_are_exact_for_every_user() -> None:
    rng = np.random.default_rng(6)
    index, keys, vectors = world(rng, ONLINE_RETAIL_ITEMS)
    vectors[:30] = rng.normal(size=(30, 16))
    index.upsert(keys[:30], vectors[:30])
    eligible = rng.random(2 * ONLINE_RETAIL_ITEMS) < 0.4
    queries = rng.normal(size=(25, 16)).astype(np.float32)
    excluded = [rng.choice(keys, size=size, replace=False) for size in rng.integers(0, 400, size=25)]
    found, _ = index.search(
        queries, 100, eligible, ragged_offsets([len(part) for part in excluded]), np.concatenate(excluded)
    )
    for user in range(25):
        left_out = set(excluded[user].tolist())
        assert found[user].tolist() == brute_force(keys, vectors, queries[user], 100, eligible, left_out)


def test_a_score_does_not_depend_on_the_rest_of_the_call() -> None:
    rng = np.random.default_rng(3)
    index, _, _ = world(rng, 3_000, dims=96)
    index.upsert(np.arange(50), rng.normal(size=(50, 96)).astype(np.float32))
    queries = rng.normal(size=(70, 96)).astype(np.float32)
    together_keys, together = index.search(queries, 40)
    for user in (0, 15, 16, 69):
        alone_keys, alone = index.search(queries[user : user + 1], 40)
        np.testing.assert_array_equal(alone_keys[0], together_keys[user])
        np.testing.assert_array_equal(alone[0], together[user])
        np.testing.assert_array_equal(index.scores(queries[user : user + 1], alone_keys), alone)


def test_equal_vectors_go_by_lower_key_even_where_the_reply_ends() -> None:
    index = ItemIndex(8)
    keys = np.random.default_rng(4).permutation(5_000).astype(np.int64)
    index.build(keys, np.ones((5_000, 8), dtype=np.float32))
    found, _ = index.search(np.ones((3, 8), dtype=np.float32), 7, None, np.array([0, 0, 2, 2]), np.array([0, 3]))
    assert found.tolist() == [[0, 1, 2, 3, 4, 5, 6], [1, 2, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5, 6]]


def test_scores_are_nan_for_items_without_a_vector() -> None:
    index = ItemIndex(2)
    index.build(np.array([5, 9]), np.array([[1, 2], [3, 4]], dtype=np.float32))
    index.remove(np.array([9]))
    index.upsert(np.array([2]), np.array([[5, 6]], dtype=np.float32))
    keys = np.array([[5, 9, 2, 77, -1]])
    np.testing.assert_array_equal(
        index.scores(np.ones((1, 2), dtype=np.float32), keys), [[3, np.nan, 11, np.nan, np.nan]]
    )
    assert index.holds(keys).tolist() == [[True, False, True, False, False]]


def test_an_empty_index_answers_with_padding() -> None:
    found, scores = ItemIndex(4).search(np.ones((2, 4), dtype=np.float32), 3)
    assert found.tolist() == [[-1] * 3] * 2
    assert np.isnan(scores).all()


def test_the_callers_arrays_are_neither_kept_nor_written() -> None:
    keys, vectors = np.arange(5), np.eye(5, dtype=np.float32)
    index = ItemIndex(5)
    index.build(keys, vectors)
    vectors[:] = 0
    keys[:] = 0
    found, scores = index.search(np.eye(5, dtype=np.float32)[3:4], 1)
    assert (found.item(), scores.item()) == (3, 1.0)


def test_a_saved_index_answers_alike_after_loading(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    index, keys, _ = world(rng, 500)
    index.remove(keys[:100])
    index.upsert(keys[50:60], rng.normal(size=(10, 16)).astype(np.float32))
    index.save(tmp_path)
    queries = rng.normal(size=(4, 16)).astype(np.float32)
    loaded = ItemIndex.load(tmp_path, dims=16)
    for ours, theirs in zip(index.search(queries, 30), loaded.search(queries, 30), strict=True):
        np.testing.assert_array_equal(ours, theirs)

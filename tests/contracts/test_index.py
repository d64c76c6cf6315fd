"""What an item index of any kind must do under changes, filters and exclusions.

A flat index does exactly what a full sort over NumPy does. The others may miss items of the best, a known share of them
on clustered vectors; everything else holds for them as it does for the flat one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interest.batch import Floats, Longs, ragged_offsets
from ranking import index as module
from ranking.index import IndexSettings, ItemIndex, Mask
from ranking.index_files import MANIFEST_FILE
from ranking.index_settings import FLAT, KINDS
from ranking.index_snapshot import Snapshot

pytestmark = pytest.mark.thorough
ONLINE_RETAIL_ITEMS = 3_850
MOST_SEEN = 1_651  # by one user of that set
PROMISED = 0.98
PATIENCE_S = 60.0

any_kind = pytest.mark.parametrize("kind", KINDS)


def settings_of(kind: str, **others: int | float) -> IndexSettings:
    """Every kind answers by its own means, however few the items are."""
    return IndexSettings(kind=kind, tuning_queries=96, scan_rows=0, **others)  # type: ignore[arg-type]


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


def clustered(rng: np.random.Generator, rows: int, dims: int) -> Floats:
    """As learned item vectors are: around centres, of unequal length."""
    centres = rng.normal(size=(20, dims))
    vectors = centres[rng.integers(20, size=rows)] + 0.3 * rng.normal(size=(rows, dims))
    return (vectors * rng.uniform(0.7, 1.5, size=(rows, 1))).astype(np.float32)


def world(rng: np.random.Generator, kind: str, items: int, dims: int = 16) -> tuple[ItemIndex, Longs, Floats]:
    keys = rng.permutation(2 * items)[:items].astype(np.int64)
    vectors = clustered(rng, items, dims)
    index = ItemIndex(dims, settings=settings_of(kind))
    index.build(keys, vectors)
    assert index.report.kind == kind, index.report.note
    return index, keys, vectors


def check_reply(found: Longs, scores: Floats, expected: list[int], query: Floats, held: Mapping[int, Floats]) -> float:
    """Everything but which items were found; returns the share of `expected` that was, by score, not by key."""
    real = len(expected)
    assert (found[real:] == -1).all()
    assert (found[:real] >= 0).all(), "fewer than k although more are eligible"
    assert np.isnan(scores[real:]).all()
    keys = found[:real].tolist()
    assert len(set(keys)) == real
    np.testing.assert_allclose(scores[:real], [float(query @ held[key]) for key in keys], rtol=1e-4, atol=1e-4)
    assert keys == [key for _, key in sorted(zip((-scores[:real]).tolist(), keys, strict=True))]
    least = min((float(query @ held[key]) for key in expected), default=0.0)
    return float((scores[:real] >= least - 1e-4).mean()) if real else 1.0


@any_kind
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_changes_leave_what_brute_force_finds(kind: str, data: st.DataObject) -> None:
    """Small whole numbers make every score exact and ties frequent."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    dims, k = 4, data.draw(st.integers(1, 12))
    most = 50 if kind == FLAT else 250
    held: dict[int, Floats] = {}
    limit = data.draw(st.sampled_from([0, 5, 1_000]))
    share = data.draw(st.sampled_from([0.0, 0.05]))
    chosen = IndexSettings(
        kind=kind,
        delta_rows=limit,
        large_delta_rows=limit,
        scan_share=share,
        scan_rows=0,
        tuning_queries=16,
        target_recall=0.5,
    )
    index = ItemIndex(dims, settings=chosen)
    for step in data.draw(st.lists(st.sampled_from(["build", "upsert", "remove", "settle"]), max_size=5)):
        keys = rng.choice(most + 10, size=data.draw(st.integers(0, most)), replace=False).astype(np.int64)
        vectors = rng.integers(-2, 3, size=(len(keys), dims)).astype(np.float32)
        if step == "settle":
            assert index.settle(PATIENCE_S)
            continue
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
    excluded = [rng.choice(most + 20, size=rng.integers(0, 30), replace=False) for _ in range(users)]
    masks = [None, rng.random(most + 5) < 0.5, rng.random(most + 15) < 0.03]
    eligible = data.draw(st.sampled_from(masks))
    offsets = ragged_offsets([len(part) for part in excluded])
    found, scores = index.search(queries, k, eligible, offsets, np.concatenate(excluded))
    assert len(index) == len(held)
    all_keys = np.array(list(held), dtype=np.int64)
    all_vectors = np.array(list(held.values()), dtype=np.float32).reshape(len(held), dims)
    for user in range(users):
        left_out = set(excluded[user].tolist())
        expected = brute_force(all_keys, all_vectors, queries[user], k, eligible, left_out)
        check_reply(found[user], scores[user], expected, queries[user], held)
        assert not left_out & set(found[user].tolist())
        assert eligible is None or all(eligible[key] for key in found[user].tolist() if key >= 0)
        if kind == FLAT:
            assert found[user].tolist() == expected + [-1] * (k - len(expected))
    assert index.settle(PATIENCE_S)


@any_kind
def test_recall_is_as_promised_under_any_filter(kind: str) -> None:
    rng = np.random.default_rng(7)
    index, keys, vectors = world(rng, kind, 6_000, dims=32)
    queries = vectors[rng.integers(6_000, size=(60, 4))].mean(axis=1)
    for share in (1.0, 0.5, 0.1, 0.02):
        eligible = None if share == 1 else rng.random(12_000) < share
        found, _ = index.search(queries, 100, eligible)
        recall = []
        for user in range(60):
            best = brute_force(keys, vectors, queries[user], 100, eligible, set())
            recall.append(len(set(best) & set(found[user].tolist())) / len(best))
        assert np.mean(recall) >= (1.0 if kind == FLAT else PROMISED), share


@any_kind
def test_a_filter_on_what_the_user_never_cared_for_gives_its_best(kind: str) -> None:
    """All that is eligible lies in one cluster, far from the query."""
    rng = np.random.default_rng(8)
    index, keys, vectors = world(rng, kind, 6_000, dims=32)
    query = vectors[:1]
    far = np.argsort(vectors @ query[0])[:900]  # 15 % of the items
    eligible = np.zeros(12_000, dtype=bool)
    eligible[keys[far]] = True
    found, _ = index.search(query, 50, eligible)
    best = brute_force(keys, vectors, query[0], 50, eligible, set())
    assert eligible[found[0]].all()
    assert len(set(best) & set(found[0].tolist())) >= (50 if kind == FLAT else 49)


@any_kind
def test_one_in_a_thousand_eligible_still_fills_the_reply(kind: str) -> None:
    rng = np.random.default_rng(1)
    index, keys, vectors = world(rng, kind, 10_000)
    eligible = np.zeros(20_000, dtype=bool)
    eligible[rng.choice(keys, size=10, replace=False)] = True
    queries = rng.normal(size=(5, 16)).astype(np.float32)
    found, _ = index.search(queries, 10, eligible)
    for user in range(5):
        assert found[user].tolist() == brute_force(keys, vectors, queries[user], 10, eligible, set())


@any_kind
def test_a_user_who_excludes_1651_of_3850_items_gets_a_full_reply(kind: str) -> None:
    rng = np.random.default_rng(2)
    index, keys, vectors = world(rng, kind, ONLINE_RETAIL_ITEMS)
    held = dict(zip(keys.tolist(), vectors, strict=True))
    queries = vectors[:40]
    gone = brute_force(keys, vectors, queries[0], MOST_SEEN, None, set())  # the very best ones
    offsets = ragged_offsets([MOST_SEEN] + [0] * 39)
    for k in (10, 300, ONLINE_RETAIL_ITEMS - MOST_SEEN):
        found, scores = index.search(queries, k, None, offsets, np.array(gone))
        recall = []
        for user, left_out in ((0, set(gone)), (39, set[int]())):
            expected = brute_force(keys, vectors, queries[user], k, None, left_out)
            assert not left_out & set(found[user].tolist())
            recall.append(check_reply(found[user], scores[user], expected, queries[user], held))
            assert kind != FLAT or found[user].tolist() == expected
        assert np.mean(recall) >= PROMISED


@any_kind
def test_filter_and_exclusions_together_hold_for_every_user(kind: str) -> None:
    rng = np.random.default_rng(6)
    index, keys, vectors = world(rng, kind, ONLINE_RETAIL_ITEMS)
    vectors[:30] = rng.normal(size=(30, 16))
    index.upsert(keys[:30], vectors[:30])
    held = dict(zip(keys.tolist(), vectors, strict=True))
    eligible = rng.random(2 * ONLINE_RETAIL_ITEMS) < 0.4
    queries = vectors[100:125]
    excluded = [rng.choice(keys, size=size, replace=False) for size in rng.integers(0, 400, size=25)]
    offsets = ragged_offsets([len(part) for part in excluded])
    found, scores = index.search(queries, 100, eligible, offsets, np.concatenate(excluded))
    recall = []
    for user in range(25):
        left_out = set(excluded[user].tolist())
        expected = brute_force(keys, vectors, queries[user], 100, eligible, left_out)
        recall.append(check_reply(found[user], scores[user], expected, queries[user], held))
        assert eligible[found[user]].all()
        assert not left_out & set(found[user].tolist())
        assert kind != FLAT or found[user].tolist() == expected
    assert np.mean(recall) >= PROMISED


@any_kind
def test_changes_are_seen_by_the_next_search(kind: str) -> None:
    rng = np.random.default_rng(9)
    index, _, vectors = world(rng, kind, 2_000)
    query = vectors[:1]
    best = index.search(query, 5)[0][0]
    index.upsert(np.array([4_500]), 3 * query)
    assert index.search(query, 5)[0][0].tolist() == [4_500, *best[:4].tolist()]
    index.remove(np.array([4_500, best[0]]))
    assert index.search(query, 4)[0][0].tolist() == best[1:].tolist()
    assert not index.holds(np.array([4_500, best[0]])).any()


@any_kind
def test_a_score_does_not_depend_on_the_rest_of_the_call(kind: str) -> None:
    rng = np.random.default_rng(3)
    index, _, _ = world(rng, kind, 3_000, dims=96)
    index.upsert(np.arange(50), rng.normal(size=(50, 96)).astype(np.float32))
    queries = rng.normal(size=(70, 96)).astype(np.float32)
    together_keys, together = index.search(queries, 40)
    for user in (0, 15, 16, 69):
        alone_keys, alone = index.search(queries[user : user + 1], 40)
        np.testing.assert_array_equal(alone_keys[0], together_keys[user])
        np.testing.assert_array_equal(alone[0], together[user])
        np.testing.assert_array_equal(index.scores(queries[user : user + 1], alone_keys), alone)


@any_kind
def test_equal_vectors_go_by_lower_key_even_where_the_reply_ends(kind: str) -> None:
    index = ItemIndex(8, settings=settings_of(kind))
    keys = np.random.default_rng(4).permutation(5_000).astype(np.int64)
    index.build(keys, np.ones((5_000, 8), dtype=np.float32))
    found, _ = index.search(np.ones((3, 8), dtype=np.float32), 7, None, np.array([0, 0, 2, 2]), np.array([0, 3]))
    assert found.tolist() == [[0, 1, 2, 3, 4, 5, 6], [1, 2, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5, 6]]


@any_kind
def test_scores_are_nan_for_items_without_a_vector(kind: str) -> None:
    index = ItemIndex(2, settings=settings_of(kind))
    index.build(np.array([5, 9]), np.array([[1, 2], [3, 4]], dtype=np.float32))
    index.remove(np.array([9]))
    index.upsert(np.array([2]), np.array([[5, 6]], dtype=np.float32))
    keys = np.array([[5, 9, 2, 77, -1]])
    np.testing.assert_array_equal(
        index.scores(np.ones((1, 2), dtype=np.float32), keys), [[3, np.nan, 11, np.nan, np.nan]]
    )
    assert index.holds(keys).tolist() == [[True, False, True, False, False]]


@any_kind
def test_an_empty_index_answers_with_padding(kind: str) -> None:
    found, scores = ItemIndex(4, settings=settings_of(kind)).search(np.ones((2, 4), dtype=np.float32), 3)
    assert found.tolist() == [[-1] * 3] * 2
    assert np.isnan(scores).all()


@any_kind
def test_the_callers_arrays_are_neither_kept_nor_written(kind: str) -> None:
    keys, vectors = np.arange(5), np.eye(5, dtype=np.float32)
    index = ItemIndex(5, settings=settings_of(kind))
    index.build(keys, vectors)
    vectors[:] = 0
    keys[:] = 0
    found, scores = index.search(np.eye(5, dtype=np.float32)[3:4], 1)
    assert (found.item(), scores.item()) == (3, 1.0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != FLAT])
def test_nothing_waits_for_a_merge_and_nothing_that_changes_meanwhile_is_lost(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(10)
    keys, vectors = np.arange(1_500), clustered(rng, 1_500, 16)
    index = ItemIndex(16, settings=settings_of(kind, large_delta_rows=100))
    index.build(keys, vectors)
    began, go_on, merge = Event(), Event(), module.merged

    def held_up(old: Snapshot, chosen: IndexSettings, queries: Floats | None) -> Snapshot:
        began.set()
        assert go_on.wait(PATIENCE_S)
        return merge(old, chosen, queries)

    monkeypatch.setattr(module, "merged", held_up)
    vectors[:101] = clustered(rng, 101, 16)
    index.upsert(keys[:101], vectors[:101])
    assert began.wait(PATIENCE_S)
    before = index.search(vectors[:20], 10)
    vectors[90:120] = 2 * clustered(rng, 30, 16)  # in the delta under merge, and in the main part
    index.upsert(keys[90:120], vectors[90:120])
    index.remove(keys[115:130])
    index.upsert(np.array([120, 2_000]), np.stack([3 * vectors[0], 4 * vectors[0]]))
    during = index.search(vectors[:20], 10)
    assert during[0][0, :2].tolist() == [2_000, 120]
    assert not np.array_equal(before[0], during[0])
    assert not index.settle(0)
    go_on.set()
    assert index.settle(PATIENCE_S)
    assert index.report.items == 1_500
    living = np.setdiff1d(np.append(keys, 2_000), np.setdiff1d(keys[115:130], [120]))
    assert len(index) == len(living)
    assert index.holds(living).all()
    wanted = np.concatenate([vectors, np.zeros((501, 16), np.float32)])
    wanted[[120, 2_000]] = np.stack([3 * vectors[0], 4 * vectors[0]])
    scores = index.scores(vectors[:1], living[None, :])[0]
    np.testing.assert_allclose(scores, wanted[living] @ vectors[0], rtol=1e-4, atol=1e-4)
    assert index.search(vectors[:20], 10)[0][0, :2].tolist() == [2_000, 120]


@any_kind
def test_a_saved_index_answers_alike_after_loading(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    index, keys, _ = world(rng, kind, 2_000)
    index.remove(keys[:100])
    index.upsert(keys[50:60], rng.normal(size=(10, 16)).astype(np.float32))
    index.save(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST_FILE).read_text())
    assert (manifest["kind"], manifest["items"]) == (kind, 1_910)
    assert kind == FLAT or manifest["build"]["recall"]["100"] >= PROMISED
    queries = rng.normal(size=(4, 16)).astype(np.float32)
    loaded = ItemIndex.load(tmp_path, dims=16, settings=settings_of(kind))
    assert loaded.report == index.report
    for ours, theirs in zip(index.search(queries, 30), loaded.search(queries, 30), strict=True):
        np.testing.assert_array_equal(ours, theirs)

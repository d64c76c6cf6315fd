"""What the item index does by itself: its kind, merging, wrong widths, damaged files, readers beside a writer."""

import json
import logging
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from interest.batch import Floats
from interest.errors import InvalidConfig, InvalidRelease
from ranking import index as module
from ranking.index import IndexSettings, ItemIndex
from ranking.index_files import FAISS_FILE, MANIFEST_FILE
from ranking.index_snapshot import Snapshot

DELTA_ROWS = IndexSettings().delta_rows
PATIENCE_S = 60.0


def clustered(rng: np.random.Generator, rows: int, dims: int = 16) -> Floats:
    centres = rng.normal(size=(20, dims))
    vectors = centres[rng.integers(20, size=rows)] + 0.3 * rng.normal(size=(rows, dims))
    return (vectors * rng.uniform(0.7, 1.5, size=(rows, 1))).astype(np.float32)


def test_vectors_of_another_width_are_refused() -> None:
    index = ItemIndex(3)
    with pytest.raises(InvalidRelease, match="3 dimensions"):
        index.build(np.array([1]), np.zeros((1, 4), dtype=np.float32))
    with pytest.raises(InvalidRelease, match="3 dimensions"):
        index.search(np.zeros((1, 2), dtype=np.float32), 1)
    with pytest.raises(InvalidRelease, match="3 dimensions"):
        index.build(np.array([1]), np.zeros((1, 3), dtype=np.float32), queries=np.zeros((1, 2), dtype=np.float32))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="'lsh': must be one of flat, ivf, ivf_pq, hnsw"):
        IndexSettings(kind="lsh")
    with pytest.raises(InvalidConfig, match=r"target_recall=1\.5"):
        IndexSettings(target_recall=1.5)
    with pytest.raises(InvalidConfig, match=r"scan_share=-0\.1"):
        IndexSettings(scan_share=-0.1)
    with pytest.raises(InvalidConfig, match="tuning_queries=1"):
        IndexSettings(tuning_queries=1)
    with pytest.raises(InvalidConfig, match="delta_rows=-1"):
        IndexSettings(delta_rows=-1)


def test_the_kind_goes_by_the_number_of_items_and_the_memory() -> None:
    chosen = IndexSettings(flat_below=1_000, codes_from=3_000)
    assert [chosen.kind_for(items, 16) for items in (0, 999, 1_000, 2_999, 3_000)] == [
        *("flat", "flat", "ivf", "ivf", "ivf_pq")
    ]
    scarce = IndexSettings(flat_below=1_000, codes_from=3_000, memory_bytes=64 * 1_500)
    assert [scarce.kind_for(items, 16) for items in (999, 1_500, 1_501)] == ["flat", "ivf", "ivf_pq"]


def test_vectors_that_memory_does_not_hold_lie_in_a_file_and_are_found_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    keys, vectors = np.arange(2_000), clustered(rng, 2_000)
    chosen = IndexSettings(flat_below=1_000, memory_bytes=1_000, spill_folder=tmp_path, scan_rows=0)
    index, roomy = ItemIndex(16, settings=chosen), ItemIndex(16, settings=IndexSettings(kind="ivf_pq", scan_rows=0))
    index.build(keys, vectors)
    roomy.build(keys, vectors)
    assert index.report.kind == "ivf_pq"
    mapped = index._snapshot.main_vectors
    while isinstance(mapped, np.ndarray) and not isinstance(mapped, np.memmap):
        mapped = mapped.base  # type: ignore[assignment]
    assert isinstance(mapped, np.memmap)
    assert list(tmp_path.iterdir()) == []  # without a name: gone with the process
    for ours, theirs in zip(index.search(vectors[:9], 20), roomy.search(vectors[:9], 20), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["ivf", "ivf_pq", "hnsw"])
def test_a_kind_that_cannot_reach_the_recall_is_flat_and_says_so(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Vectors without any structure, queries that have nothing to do with them, and nothing may be missed."""
    rng = np.random.default_rng(2)
    vectors, queries = rng.normal(size=(2, 3_000, 48)).astype(np.float32)
    index = ItemIndex(48, settings=IndexSettings(kind=kind, target_recall=1.0, tuning_queries=64))
    with caplog.at_level(logging.WARNING, logger="attune.index"):
        index.build(np.arange(3_000), vectors, queries[:200])
    assert (index.report.kind, index.report.asked) == ("flat", kind)
    assert f"{kind}: did not reach recall 1.0" in index.report.note
    assert "is flat" in caplog.text


def test_the_reported_recall_is_of_the_callers_queries_when_there_are_any() -> None:
    rng = np.random.default_rng(3)
    vectors = clustered(rng, 3_000)
    index = ItemIndex(16, settings=IndexSettings(kind="ivf", tuning_queries=100))
    index.build(np.arange(3_000), vectors, vectors[:60])
    assert index.report.held_out_queries == 30
    assert index.report.recall[100] >= 0.98


def test_a_saved_index_of_another_width_does_not_load(tmp_path: Path) -> None:
    index = ItemIndex(3)
    index.build(np.array([1]), np.ones((1, 3), dtype=np.float32))
    index.save(tmp_path)
    with pytest.raises(InvalidRelease, match="wanted dims 4"):
        ItemIndex.load(tmp_path, dims=4)
    manifest = json.loads((tmp_path / MANIFEST_FILE).read_text())
    for wrong, message in (({"items": 2}, "'items': 1"), ({"kind": "tree"}, "'tree' is none of")):
        (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest | wrong))
        with pytest.raises(InvalidRelease, match=message):
            ItemIndex.load(tmp_path, dims=3)
    (tmp_path / MANIFEST_FILE).write_text("{}")
    with pytest.raises(InvalidRelease, match="expected the manifest of an index"):
        ItemIndex.load(tmp_path, dims=3)


def test_a_saved_index_without_one_of_its_parts_does_not_load(tmp_path: Path) -> None:
    index = ItemIndex(16, settings=IndexSettings(kind="ivf_pq", tuning_queries=64))
    index.build(np.arange(2_000), clustered(np.random.default_rng(4), 2_000))
    index.save(tmp_path)
    (tmp_path / FAISS_FILE).unlink()
    with pytest.raises(InvalidRelease, match="expected the parts of a ivf_pq index"):
        ItemIndex.load(tmp_path, dims=16)


def test_many_changes_merge_and_stay_searchable() -> None:
    index = ItemIndex(2)
    count = 2 * DELTA_ROWS + 10
    for start in range(0, count, 500):
        keys = np.arange(start, min(start + 500, count))
        index.upsert(keys, np.stack([keys, np.ones_like(keys)], axis=1).astype(np.float32))
    index.remove(np.arange(DELTA_ROWS + 100))
    assert len(index) == DELTA_ROWS - 90
    found, scores = index.search(np.array([[1, 0]], dtype=np.float32), 2)
    assert found.tolist() == [[count - 1, count - 2]]
    assert scores.tolist() == [[count - 1, count - 2]]


def test_a_catalogue_that_outgrows_the_flat_kind_changes_it_in_the_background_and_back() -> None:
    rng = np.random.default_rng(5)
    chosen = IndexSettings(flat_below=2_000, large_delta_rows=300, tuning_queries=64)
    index = ItemIndex(16, settings=chosen)
    vectors = clustered(rng, 3_000)
    index.build(np.arange(1_900), vectors[:1_900])
    assert index.report.kind == "flat"
    index.upsert(np.arange(1_900, 3_000), vectors[1_900:])
    assert index.settle(PATIENCE_S)
    assert (index.report.kind, index.report.items) == ("ivf", 3_000)
    assert index.report.recall[100] >= 0.98
    index.remove(np.arange(1_500))
    assert index.settle(PATIENCE_S)
    assert (index.report.kind, index.report.items, len(index)) == ("flat", 1_500, 1_500)


def test_a_build_during_a_merge_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    index = ItemIndex(16, settings=IndexSettings(kind="ivf", large_delta_rows=10, tuning_queries=64))
    index.build(np.arange(500), clustered(rng, 500))
    merge = module.merged

    def overtaken(old: Snapshot, chosen: IndexSettings, queries: Floats | None) -> Snapshot:
        index.build(np.array([7]), np.ones((1, 16), dtype=np.float32))
        return merge(old, chosen, queries)

    monkeypatch.setattr(module, "merged", overtaken)
    index.upsert(np.arange(20), clustered(rng, 20))
    assert index.settle(PATIENCE_S)
    assert len(index) == 1
    assert index.holds(np.array([7, 8])).tolist() == [True, False]


def test_a_merge_that_fails_leaves_the_old_state_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(7)
    vectors = clustered(rng, 600)
    index = ItemIndex(16, settings=IndexSettings(kind="ivf", large_delta_rows=10, tuning_queries=64))
    index.build(np.arange(500), vectors[:500])

    def failing(old: Snapshot, chosen: IndexSettings, queries: Floats | None) -> Snapshot:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, "merged", failing)
        index.upsert(np.arange(500, 550), vectors[500:550])
        assert index.settle(PATIENCE_S)
    assert "could not be merged" in caplog.text
    assert len(index) == 550
    assert index.holds(np.array([549])).all()
    index.upsert(np.arange(550, 600), vectors[550:])
    assert index.settle(PATIENCE_S)
    assert index.report.items == 600


def test_readers_see_whole_states_while_a_writer_replaces_everything() -> None:
    index = ItemIndex(4)
    keys = np.arange(2_000)
    index.build(keys, np.zeros((2_000, 4), dtype=np.float32))
    seen: set[float] = set()

    def write() -> None:
        for step in range(1, 30):
            index.build(keys, np.full((2_000, 4), step, dtype=np.float32))

    writer = Thread(target=write)
    writer.start()
    while writer.is_alive():
        _, scores = index.search(np.ones((1, 4), dtype=np.float32), 2_000)
        assert len(set(scores[0].tolist())) == 1
        seen.add(float(scores[0, 0]))
    writer.join()
    assert seen <= {4.0 * step for step in range(30)}

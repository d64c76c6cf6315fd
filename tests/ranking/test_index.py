"""What is FAISS' own in the item index: merging, wrong widths, damaged files, readers beside a writer."""

import json
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from interest.errors import InvalidRelease
from ranking.index import DELTA_ROWS, MANIFEST_FILE, ItemIndex


def test_vectors_of_another_width_are_refused() -> None:
    index = ItemIndex(3)
    with pytest.raises(InvalidRelease, match="3 dimensions"):
        index.build(np.array([1]), np.zeros((1, 4), dtype=np.float32))
    with pytest.raises(InvalidRelease, match="3 dimensions"):
        index.search(np.zeros((1, 2), dtype=np.float32), 1)


def test_a_saved_index_of_another_width_does_not_load(tmp_path: Path) -> None:
    index = ItemIndex(3)
    index.build(np.array([1]), np.ones((1, 3), dtype=np.float32))
    index.save(tmp_path)
    with pytest.raises(InvalidRelease, match="wanted dims 4"):
        ItemIndex.load(tmp_path, dims=4)
    (tmp_path / MANIFEST_FILE).write_text(json.dumps({"kind": "flat", "dims": 3, "items": 2}))
    with pytest.raises(InvalidRelease, match="'items': 1"):
        ItemIndex.load(tmp_path, dims=3)


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

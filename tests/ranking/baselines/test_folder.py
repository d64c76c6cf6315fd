"""From files to numbers: the strict world fits only what came before the cut."""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.testing import assert_array_equal

from ranking.baselines.folder import per_user_world, questions_of, ranked_rows, strict_world
from ranking.tasks import shared_tasks, strict_cut

IDS = ["a", "b", "c"]
NO_VECTORS = np.zeros((0, 0), dtype=np.float32)


def write_folder(folder: Path) -> None:
    rows = {"train": [("u", "a", 1), ("v", "b", 2), ("v", "zz", 3)], "validation": [("u", "c", 9), ("u", "gone", 9)]}
    for name, acts in rows.items():
        user, item, time = zip(*acts, strict=True)
        table = pyarrow.table({"user_id": user, "item_id": item, "timestamp": time})
        pyarrow.parquet.write_table(table, folder / f"{name}.parquet")


def test_items_outside_the_catalogue_are_left_out_of_the_world_but_stay_relevant(tmp_path: Path) -> None:
    write_folder(tmp_path)
    numbers = per_user_world(tmp_path, IDS, IDS, NO_VECTORS)
    assert_array_equal(numbers.world.live.item, [0, 1])
    asked = questions_of(shared_tasks(tmp_path)[0], numbers)
    assert_array_equal(asked.relevant, [2, 4])  # "gone" has a row above all items
    assert_array_equal(asked.requests.history.item, [0])


def test_the_strict_world_learns_before_the_cut_and_counts_after_it(tmp_path: Path) -> None:
    write_folder(tmp_path)
    numbers = strict_world(tmp_path, IDS, IDS, NO_VECTORS)
    assert 3 < strict_cut(tmp_path) <= 9
    assert_array_equal(numbers.world.fitted.item, [0, 1])
    assert_array_equal(numbers.world.live.item, [0, 1, 2])


def test_lists_of_ids_become_rows(tmp_path: Path) -> None:
    write_folder(tmp_path)
    numbers = per_user_world(tmp_path, IDS, IDS, NO_VECTORS)
    assert_array_equal(ranked_rows([["c", "a"], []], numbers, 3), [[2, 0, -1], [-1, -1, -1]])

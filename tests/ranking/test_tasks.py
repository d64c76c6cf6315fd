"""Tasks from held-out files."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
from numpy.testing import assert_array_equal

from ranking.tasks import shared_tasks


def write(path: Path, rows: list[tuple[int, str, int]], quantity: bool) -> None:
    columns: dict[str, list[object]] = {
        "user_id": [row[0] for row in rows],
        "item_id": [row[1] for row in rows],
        "timestamp": [row[2] for row in rows],
    }
    if quantity:
        columns["quantity"] = [1] * len(rows)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def write_folder(folder: Path, quantity: bool) -> None:
    write(folder / "train.parquet", [(1, "a", 10), (1, "b", 20), (2, "a", 10), (3, "c", 5)], quantity)
    write(folder / "validation.parquet", [(1, "c", 40), (1, "a", 30), (1, "c", 50), (2, "a", 60)], quantity)


def test_new_items_leave_out_what_the_user_had_and_users_without_news(tmp_path: Path) -> None:
    write_folder(tmp_path, quantity=False)
    (task,) = shared_tasks(tmp_path)
    assert (task.name, task.exclude_seen) == ("new", True)
    assert task.user_ids == ("1",)
    assert_array_equal(task.as_of, [29.0])  # one second before the first held-out event, relevant or not
    assert task.relevant_ids == ("c",)


def test_a_shop_has_a_next_basket_of_everything_held_out(tmp_path: Path) -> None:
    write_folder(tmp_path, quantity=True)
    task = shared_tasks(tmp_path)[1]
    assert (task.name, task.exclude_seen) == ("basket", False)
    assert task.user_ids == ("1", "2")
    assert_array_equal(task.as_of, [29.0, 59.0])
    assert_array_equal(task.relevant_offsets, [0, 2, 3])
    assert task.relevant_ids == ("a", "c", "a")

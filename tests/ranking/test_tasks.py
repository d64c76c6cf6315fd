"""Tasks from held-out files."""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.testing import assert_array_equal

from ranking.tasks import shared_tasks, strict_cut, strict_tasks


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


def write_strict_folder(folder: Path) -> None:
    """Times 0 to 99 days; the cut lies at 90 % of them."""
    day = 86_400
    old = [(9, "x", at * day) for at in range(88)]
    train = [*old, (1, "a", 5 * day), (2, "b", 6 * day), (1, "b", 95 * day)]
    late = [(1, "a", 96 * day), (1, "c", 97 * day), (1, "d", 130 * day), (2, "b", 96 * day), (3, "c", 97 * day)]
    late += [(4, "c", 97 * day), (4, "d", 98 * day)]
    write(folder / "train.parquet", train, quantity=True)
    write(folder / "validation.parquet", [*late, (9, "x", 98 * day), (9, "x", 99 * day)], quantity=True)


def test_across_one_instant_users_from_before_are_asked_for_a_second_before_they_come_back(tmp_path: Path) -> None:
    write_strict_folder(tmp_path)
    cut = strict_cut(tmp_path)
    new, basket = strict_tasks(tmp_path)
    assert 87 * 86_400 < cut <= 95 * 86_400
    assert basket.user_ids == ("1", "2", "9")  # 3 and 4 have nothing before the cut
    assert_array_equal(basket.as_of, [95 * 86_400 - 1, 96 * 86_400 - 1, 98 * 86_400 - 1])
    assert basket.relevant_ids == ("a", "b", "c", "b", "x")  # d is more than 30 days later
    assert new.user_ids == ("1",)
    assert new.relevant_ids == ("b", "c")  # b of train.parquet, but after the cut
    assert (new.exclude_seen, basket.exclude_seen) == (True, False)


def test_users_of_a_task_can_be_taken_by_place(tmp_path: Path) -> None:
    write_folder(tmp_path, quantity=True)
    taken = shared_tasks(tmp_path)[1].take(np.array([1]))
    assert (taken.user_ids, taken.relevant_ids) == (("2",), ("a",))
    assert_array_equal(taken.relevant_offsets, [0, 1])

"""Evaluation tasks from held-out files: which users, as of when, and what was relevant."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet

from interest.batch import Doubles, Longs, ragged_offsets

Strings = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Task:
    """Users to recommend to as of an instant each; ids are the public ones.

    `relevant_ids` [n] are distinct within a user, ascending, and cut by `relevant_offsets` [users + 1].
    """

    name: str
    user_ids: tuple[str, ...]
    as_of: Doubles  # [users] unix seconds: one second before the user's first held-out event
    relevant_offsets: Longs
    relevant_ids: tuple[str, ...]
    exclude_seen: bool


@dataclass(frozen=True, slots=True)
class _Rows:
    user: Strings
    item: Strings
    timestamp: Doubles


def shared_tasks(folder: Path) -> tuple[Task, ...]:
    """The tasks of a data folder that holds train.parquet and validation.parquet.

    Both files have columns user_id, item_id, timestamp (unix seconds). "new": held-out items that the user never
    touched in train.parquet, with seen items left out of the ranking; users without such an item are skipped.
    "basket", only where things are bought again (a column named quantity): every held-out item, nothing left out.
    """
    fitted, held_out = _read(folder / "train.parquet"), _read(folder / "validation.parquet")
    tasks = [_task("new", held_out, _unseen(held_out, fitted), exclude_seen=True)]
    if "quantity" in pyarrow.parquet.read_schema(folder / "validation.parquet").names:
        tasks.append(_task("basket", held_out, np.ones(len(held_out.user), dtype=np.bool_), exclude_seen=False))
    return tuple(tasks)


def _read(path: Path) -> _Rows:
    table = pyarrow.parquet.read_table(path, columns=["user_id", "item_id", "timestamp"])
    user, item, timestamp = (column.to_numpy() for column in table.columns)
    return _Rows(user.astype(np.str_), item.astype(np.str_), timestamp.astype(np.float64))


def _unseen(held_out: _Rows, fitted: _Rows) -> npt.NDArray[np.bool_]:
    seen = set(zip(fitted.user.tolist(), fitted.item.tolist(), strict=True))
    pairs = zip(held_out.user.tolist(), held_out.item.tolist(), strict=True)
    return np.array([pair not in seen for pair in pairs], dtype=np.bool_)


def _task(name: str, rows: _Rows, relevant: npt.NDArray[np.bool_], exclude_seen: bool) -> Task:
    first: dict[str, float] = {}
    for user, timestamp in zip(rows.user.tolist(), rows.timestamp.tolist(), strict=True):
        first[user] = min(first.get(user, timestamp), timestamp)
    items: dict[str, set[str]] = {}
    for user, item in zip(rows.user[relevant].tolist(), rows.item[relevant].tolist(), strict=True):
        items.setdefault(user, set()).add(item)
    users = sorted(items)
    return Task(
        name=name,
        user_ids=tuple(users),
        as_of=np.array([first[user] - 1.0 for user in users], dtype=np.float64),
        relevant_offsets=ragged_offsets([len(items[user]) for user in users]),
        relevant_ids=tuple(item for user in users for item in sorted(items[user])),
        exclude_seen=exclude_seen,
    )

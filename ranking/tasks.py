"""Evaluation tasks from held-out files: which users, as of when, and what was relevant."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet

from interest.batch import Doubles, Longs, ragged_offsets

Strings = npt.NDArray[np.str_]

STRICT_SHARE = 0.9
STRICT_USERS = 2_000
STRICT_HORIZON_S = 30 * 86_400.0


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

    def take(self, users: Longs) -> "Task":
        """Only the users at these places, in this order."""
        cuts = self.relevant_offsets
        parts = [self.relevant_ids[cuts[place] : cuts[place + 1]] for place in users.tolist()]
        return replace(
            self,
            user_ids=tuple(self.user_ids[place] for place in users.tolist()),
            as_of=self.as_of[users],
            relevant_offsets=ragged_offsets([len(part) for part in parts]),
            relevant_ids=tuple(item_id for part in parts for item_id in part),
        )


@dataclass(frozen=True, slots=True)
class Acts:
    """n rows of a data file, in its order."""

    user: Strings  # [n] public ids
    item: Strings  # [n]
    timestamp: Doubles  # [n] unix seconds

    def take(self, rows: npt.NDArray[np.bool_]) -> "Acts":
        """The rows that are marked."""
        return Acts(self.user[rows], self.item[rows], self.timestamp[rows])


def shared_tasks(folder: Path) -> tuple[Task, ...]:
    """The tasks of a data folder that holds train.parquet and validation.parquet.

    Both files have columns user_id, item_id, timestamp (unix seconds). "new": held-out items that the user never
    touched in train.parquet, with seen items left out of the ranking; users without such an item are skipped.
    "basket", only where things are bought again (a column named quantity): every held-out item, nothing left out.
    """
    fitted, held_out = read_acts(folder / "train.parquet"), read_acts(folder / "validation.parquet")
    tasks = [_task("new", held_out, _unseen(held_out, fitted), exclude_seen=True)]
    if _bought_again(folder):
        tasks.append(_task("basket", held_out, np.ones(len(held_out.user), dtype=np.bool_), exclude_seen=False))
    return tuple(tasks)


def strict_cut(folder: Path) -> float:
    """The instant, unix seconds, before which 0.9 of all events of train.parquet and validation.parquet lie."""
    return float(np.quantile(all_acts(folder).timestamp, STRICT_SHARE))


def strict_tasks(folder: Path) -> tuple[Task, ...]:
    """Tasks across one instant for everybody, as live use is: what is fitted must only know events before `strict_cut`.

    Users with an event before the cut and one at or after it, at most 2,000 by the sha256 of their id, are asked for
    one second before their first event at or after the cut. Relevant are the items of the 30 days from then: for "new"
    those the user never touched before (users without one are skipped), for "basket" all.
    """
    acts, cut = all_acts(folder), strict_cut(folder)
    later = acts.take(acts.timestamp >= cut)
    users = set(acts.user[acts.timestamp < cut].tolist()) & set(later.user.tolist())
    chosen = sorted(users, key=lambda user: hashlib.sha256(user.encode()).hexdigest())[:STRICT_USERS]
    later = later.take(np.isin(later.user, np.array(chosen, dtype=np.str_)))
    as_of = _first_times(later)
    within = later.timestamp <= np.array([as_of[user] - 1.0 + STRICT_HORIZON_S for user in later.user.tolist()])
    asked = np.array([as_of.get(user, -np.inf) - 1.0 for user in acts.user.tolist()])
    unseen = _unseen(later, acts.take(acts.timestamp <= asked))
    tasks = [_task("new", later, within & unseen, exclude_seen=True)]
    if _bought_again(folder):
        tasks.append(_task("basket", later, within, exclude_seen=False))
    return tuple(tasks)


def all_acts(folder: Path) -> Acts:
    """Both files, in order of time."""
    fitted, held_out = read_acts(folder / "train.parquet"), read_acts(folder / "validation.parquet")
    timestamp = np.concatenate([fitted.timestamp, held_out.timestamp])
    order = np.argsort(timestamp, kind="stable")
    user, item = np.concatenate([fitted.user, held_out.user]), np.concatenate([fitted.item, held_out.item])
    return Acts(user[order], item[order], timestamp[order])


def _bought_again(folder: Path) -> bool:
    return "quantity" in pyarrow.parquet.read_schema(folder / "validation.parquet").names


def read_acts(path: Path) -> Acts:
    """The file's rows. Columns: user_id, item_id, timestamp (unix seconds)."""
    table = pyarrow.parquet.read_table(path, columns=["user_id", "item_id", "timestamp"])
    user, item, timestamp = (column.to_numpy() for column in table.columns)
    return Acts(user.astype(np.str_), item.astype(np.str_), timestamp.astype(np.float64))


def _unseen(held_out: Acts, fitted: Acts) -> npt.NDArray[np.bool_]:
    seen = set(zip(fitted.user.tolist(), fitted.item.tolist(), strict=True))
    pairs = zip(held_out.user.tolist(), held_out.item.tolist(), strict=True)
    return np.array([pair not in seen for pair in pairs], dtype=np.bool_)


def _task(name: str, rows: Acts, relevant: npt.NDArray[np.bool_], exclude_seen: bool) -> Task:
    first = _first_times(rows)
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


def _first_times(rows: Acts) -> dict[str, float]:
    first: dict[str, float] = {}
    for user, timestamp in zip(rows.user.tolist(), rows.timestamp.tolist(), strict=True):
        first[user] = min(first.get(user, timestamp), timestamp)
    return first

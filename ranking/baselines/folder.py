"""From a data folder and a task to the numbered world and requests that baselines work on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interest.batch import Floats, Longs, ragged_offsets
from ranking.baselines.data import Interactions, World, requests_of
from ranking.baselines.tuning import Questions
from ranking.tasks import Acts, Task, all_acts, read_acts, strict_cut


@dataclass(frozen=True, slots=True)
class NumberedWorld:
    """A world with the public ids behind its numbers."""

    world: World
    item_ids: Sequence[str]  # by row
    item_rows: Mapping[str, int]
    user_numbers: Mapping[str, int]


def per_user_world(folder: Path, item_ids: Sequence[str], texts: Sequence[str], embeddings: Floats) -> NumberedWorld:
    """Fitted on train.parquet, which is also what each request may count up to its own instant."""
    acts = read_acts(folder / "train.parquet")
    return numbered(acts, np.inf, item_ids, texts, embeddings)


def strict_world(folder: Path, item_ids: Sequence[str], texts: Sequence[str], embeddings: Floats) -> NumberedWorld:
    """Fitted on what both files hold before `strict_cut`; a request may count everything up to its own instant."""
    return numbered(all_acts(folder), strict_cut(folder), item_ids, texts, embeddings)


def numbered(
    acts: Acts, fitted_before: float, item_ids: Sequence[str], texts: Sequence[str], embeddings: Floats
) -> NumberedWorld:
    """Acts on items of the catalogue `item_ids`; those before `fitted_before` (unix seconds) are learned from."""
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    known = acts.take(np.array([item in rows for item in acts.item.tolist()], dtype=np.bool_))
    ids, user = np.unique(known.user, return_inverse=True)
    item = np.array([rows[item_id] for item_id in known.item.tolist()], dtype=np.int64)
    live = Interactions(user.astype(np.int64), item, known.timestamp).by_time()
    world = World(len(ids), len(item_ids), live.take(live.time < fitted_before), live, texts, embeddings)
    return NumberedWorld(world, item_ids, rows, {user_id: place for place, user_id in enumerate(ids.tolist())})


def questions_of(task: Task, numbers: NumberedWorld) -> Questions:
    """The task's requests over the world, with relevant items as rows; one that is no item is never found."""
    user = np.array([numbers.user_numbers.get(user_id, -1) for user_id in task.user_ids], dtype=np.int64)
    requests = requests_of(user, task.as_of, numbers.world.live, task.exclude_seen)
    return Questions(requests, task.relevant_offsets, _rows(task.relevant_ids, numbers))


def ranked_rows(lists: Sequence[Sequence[str]], numbers: NumberedWorld, width: int) -> Longs:
    """Lists of item ids as rows [lists, width], cut or padded with -1."""
    table = np.full((len(lists), width), -1, dtype=np.int64)
    offsets = ragged_offsets([min(len(ids), width) for ids in lists])
    for place, ids in enumerate(lists):
        table[place, : offsets[place + 1] - offsets[place]] = [numbers.item_rows[item_id] for item_id in ids[:width]]
    return table


def _rows(ids: Sequence[str], numbers: NumberedWorld) -> Longs:
    """Rows of public ids; an id that is no item gets a row of its own above all."""
    above = len(numbers.item_ids)
    return np.array(
        [numbers.item_rows.get(item_id, above + place) for place, item_id in enumerate(ids)], dtype=np.int64
    )

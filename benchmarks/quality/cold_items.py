"""Items that nobody has touched: some are taken out of the interactions and stay in the catalogue."""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import yaml
from rich.console import Console

from interest.batch import Longs
from interest.errors import InvalidConfig
from interest.store.open import open_reader
from ranking.baselines.base import rank
from ranking.baselines.content import Content
from ranking.baselines.counting import WINDOWS_DAYS, Popularity
from ranking.baselines.folder import NumberedWorld, questions_of, ranked_rows
from ranking.baselines.tuning import Questions
from ranking.comparison import Lists, compare
from ranking.data_folder import MAPPING_FILE, find_mapping
from ranking.evaluation import ranking_metrics
from ranking.tasks import Task, shared_tasks
from serve.commands.data import progress_bars, row_counter
from serve.commands.evaluate import OWN
from serve.commands.evaluation_client import Answers, ask, task_requests
from serve.commands.evaluation_subject import load_subject, truth_of
from serve.commands.run import store_in

SHARE = 0.05  # of the items with interactions, chosen by the sha256 of their id
DEPTH = 50
MARK = "cold"  # the attribute that the request's filter asks for; no model reads attributes


def write_cold_folder(data: Path, folder: Path) -> Path:
    """The data folder without the cold items' interactions in train.parquet, and with them marked in items.parquet.

    Raises `InvalidConfig` for a folder that no mapping fits.
    """
    found = find_mapping(data)
    if found is None:
        raise InvalidConfig(f"{data}: no items file that a known mapping or Attune's own layout fits")
    folder.mkdir(parents=True, exist_ok=True)
    train = pyarrow.parquet.read_table(data / "train.parquet")
    acted_on = train["item_id"].cast(pyarrow.string())
    cold = cold_ids([str(item_id) for item_id in acted_on.unique().to_pylist()])
    warm = pyarrow.compute.invert(pyarrow.compute.is_in(acted_on, pyarrow.array(sorted(cold))))
    pyarrow.parquet.write_table(train.filter(warm), folder / "train.parquet")
    items = pyarrow.parquet.read_table(data / "items.parquet")
    marks = ["yes" if item_id in cold else "no" for item_id in items["item_id"].cast(pyarrow.string()).to_pylist()]
    pyarrow.parquet.write_table(items.append_column(MARK, pyarrow.array(marks)), folder / "items.parquet")
    shutil.copyfile(data / "validation.parquet", folder / "validation.parquet")
    mapping = found[1].model_dump(mode="json", exclude_defaults=True)
    mapping["files"].pop("users", None)
    mapping["items"].setdefault("attributes", {})[MARK] = MARK
    (folder / MAPPING_FILE).write_text(yaml.safe_dump(mapping))
    return folder


def cold_ids(item_ids: list[str]) -> set[str]:
    """`SHARE` of these ids, those with the lowest sha256."""
    ordered = sorted(item_ids, key=lambda item_id: hashlib.sha256(f"cold:{item_id}".encode()).hexdigest())
    return set(ordered[: round(SHARE * len(ordered))])


def cold_items(console: Console, folder: Path, home: Path, url: str) -> dict[str, Any]:
    """Among all items: how many of a user's cold relevant ones reach the first 50. Among the cold ones: as usual."""
    with closing(open_reader(store_in(home))) as reader, progress_bars(console) as bars:
        subject = load_subject(reader, home, folder, strict=False)
        view = subject.stages.catalogue.view()
        cold = np.array([item.attributes.get(MARK) == "yes" for item in view.items[: len(view)]], dtype=np.bool_)
        marked = {view.ids[row] for row in np.flatnonzero(cold).tolist()}
        task = _only_cold(next(task for task in shared_tasks(folder) if task.name == "new"), marked)
        progress = row_counter(bars)
        anywhere = ask(url, task_requests(task, DEPTH), "cold items among all", progress)
        among = [{**body, "filter": f'attributes.{MARK} == "yes"'} for body in task_requests(task, DEPTH)]
        filtered = ask(url, among, "cold items by themselves", progress)
    questions = questions_of(task, subject.numbers)
    truth = truth_of(questions, subject.numbers)
    everything = np.ones(len(cold), dtype=np.bool_)
    reached = {
        one.name: _found(one.ranked, questions)
        for one in _lists(subject.numbers, questions, everything, anywhere, _found)
    }
    lists = _lists(subject.numbers, questions, cold, filtered, lambda ranked, asked: asked.ndcg_of(ranked))
    return {
        "items": int(cold.sum()),
        "recall@50 among all items": reached,
        "tiers": dict(filtered.tiers),
        "among cold items": compare(lists[-1:], lists[:-1], truth).to_json(),
    }


def _only_cold(task: Task, cold: set[str]) -> Task:
    """The task with only the cold items relevant, and only users who wanted one of them."""
    owner = np.repeat(np.arange(len(task.user_ids)), np.diff(task.relevant_offsets))
    keep = np.array([item_id in cold for item_id in task.relevant_ids], dtype=np.bool_)
    lengths = np.bincount(owner[keep], minlength=len(task.user_ids))
    kept = tuple(item_id for item_id, wanted in zip(task.relevant_ids, keep.tolist(), strict=True) if wanted)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    only = Task(task.name, task.user_ids, task.as_of, offsets, kept, task.exclude_seen)
    return only.take(np.flatnonzero(lengths))


def _lists(
    numbers: NumberedWorld,
    questions: Questions,
    eligible: Any,
    answers: Answers,
    quality: Callable[[Longs, Questions], float],
) -> list[Lists]:
    """Popularity and content cosine at their best settings over the eligible items, and Attune last."""
    recent, content = Popularity("popularity", (None, *WINDOWS_DAYS)), Content()
    found = []
    for baseline in (recent, content):
        best, kept, chosen = -1.0, np.zeros((0, DEPTH), dtype=np.int64), dict[str, Any]()
        for settings in baseline.grid:
            scores = baseline.fit(numbers.world, settings).scores(questions.requests)
            ranked = rank(np.where(eligible, scores, np.float32(0.0)), questions.requests, DEPTH)
            value = quality(ranked, questions)
            if value > best:
                best, kept, chosen = value, ranked, dict(settings)
        found.append(Lists(baseline.name, kept, chosen, len(baseline.grid)))
    return [*found, Lists(OWN, ranked_rows(answers.lists, numbers, DEPTH), {}, 0)]


def _found(ranked: Longs, questions: Questions) -> float:
    """Mean share of a user's relevant items among the first `DEPTH`."""
    found = ranking_metrics(ranked, questions.offsets, questions.relevant, DEPTH)
    return float(found.recall.mean())

"""`attune evaluate`: held-out events against the served path, through HTTP, beside the same offline and baselines."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console

from interest.batch import Longs
from interest.errors import AttuneError, InvalidConfig
from interest.store.open import open_reader
from ranking.ablations import ablations
from ranking.baselines.folder import questions_of, ranked_rows
from ranking.baselines.refit import Known, refit_all
from ranking.baselines.suite import tune_all
from ranking.baselines.tuning import Tuned
from ranking.comparison import PLACES, Comparison, Lists, Truth, compare, per_user
from ranking.offline import OfflineStages, offline_lists
from ranking.release import ModelRepository
from ranking.tasks import Task, shared_tasks, strict_cut, strict_tasks
from serve.commands.data import progress_bars, row_counter
from serve.commands.evaluation_client import Progress, ask, task_requests
from serve.commands.evaluation_subject import Subject, load_subject, truth_of
from serve.commands.evaluation_table import print_comparison
from serve.commands.run import home_of, store_in

DEPTH = max(PLACES)
AGREEMENT = 1e-6
OWN = "Attune"

Protocol = Literal["per-user", "strict"]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One task: the comparison, and how many replies each tier gave."""

    protocol: str
    task: str
    comparison: Comparison
    tiers: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "task": self.task,
            "tiers": self.tiers,
            **self.comparison.to_json(),
        }


def evaluate_data(
    console: Console,
    data: Path,
    url: str,
    state: Path,
    users: int | None,
    output: Path | None,
    protocol: str = "per-user",
    baselines: bool = True,
    settings: Path | None = None,
    ablate: bool = False,
) -> list[Evaluated]:
    """Print and return every task; raises when a user's metrics through HTTP and offline differ by more than 1e-6.

    `settings`: the JSON of an earlier run, whose baselines are fitted anew at the settings found then. `ablate`: Attune
    also without each of its parts, offline.
    """
    if not (data / "validation.parquet").is_file():
        raise InvalidConfig(f"{data}: no validation.parquet to evaluate on")
    if protocol not in ("per-user", "strict"):
        raise InvalidConfig(f"protocol={protocol}: must be per-user or strict")
    strict = protocol == "strict"
    known = known_settings(settings, protocol) if settings else None
    home = home_of(state, data, "all", strict_cut(data)) if strict else home_of(state, data, "train")
    if not (home / "attune.db").is_file():
        how = f" --split all --until {strict_cut(data)!r}" if strict else ""
        raise InvalidConfig(f"{home}: nothing there; `attune run --data {data}{how}` makes it")
    with closing(open_reader(store_in(home))) as reader, progress_bars(console) as bars:
        subject = load_subject(reader, home, data, strict)
        variants = (
            ablations(reader, ModelRepository(home / "models"), subject.release, subject.stages) if ablate else ()
        )
        tasks = [first_users(task, users) for task in (strict_tasks(data) if strict else shared_tasks(data))]
        found = evaluate_tasks(subject, tasks, protocol, url, baselines, row_counter(bars), known, variants)
    for one in found:
        print_comparison(console, f"{one.task} ({protocol}, {one.comparison.users:,} users)", one.comparison)
    if output is not None:
        output.write_text(json.dumps([one.to_json() for one in found], indent=1) + "\n")
    return found


def evaluate_tasks(
    subject: Subject,
    tasks: Sequence[Task],
    protocol: str,
    url: str,
    baselines: bool,
    progress: Progress,
    known: Mapping[str, Known] | None = None,
    variants: Iterable[tuple[str, OfflineStages]] = (),
) -> list[Evaluated]:
    """Attune through HTTP (offline where there is no url) and the baselines, on the same users in one run.

    The baselines are tuned now, or fitted at the settings that are `known` by the name of the task.
    """
    world = subject.numbers.world
    questions = {task.name: questions_of(task, subject.numbers) for task in tasks}
    truths = {name: truth_of(one, subject.numbers) for name, one in questions.items()}
    own = {task.name: attune_lists(subject, task, truths[task.name], url, progress) for task in tasks}
    ablated: dict[str, list[Lists]] = {task.name: [] for task in tasks}
    for part, stages in variants:
        for task in tasks:
            lists = offline_lists(subject.reader, stages, task, DEPTH)
            ablated[task.name].append(Lists(f"{OWN} without {part}", lists, {"path": "offline"}, 0))
    tuned: dict[str, list[Tuned]] = {task.name: [] for task in tasks}
    if baselines and known is not None:
        tuned = refit_all(world, questions, known, progress)
    elif baselines:
        tuned = tune_all(world, questions, progress)
    found = []
    for task in tasks:
        served, tiers = own[task.name]
        others = [Lists(one.name, one.ranked, one.settings, one.tried) for one in tuned[task.name]]
        found.append(
            Evaluated(protocol, task.name, compare([served, *ablated[task.name]], others, truths[task.name]), tiers)
        )
    return found


def attune_lists(
    subject: Subject, task: Task, truth: Truth, url: str, progress: Progress
) -> tuple[Lists, dict[str, int]]:
    """Attune's lists for a task and how many replies each tier gave; with a url both paths, which must agree."""
    served = offline = offline_lists(subject.reader, subject.stages, task, DEPTH)
    progress(f"{task.name} offline", len(offline), len(offline))
    tiers: dict[str, int] = {}
    if url:
        answers = ask(url, task_requests(task, DEPTH), f"{task.name} over HTTP", progress)
        served, tiers = ranked_rows(answers.lists, subject.numbers, DEPTH), dict(answers.tiers)
        agree(task.name, served, offline, truth)
    return Lists(OWN, served, {"release": subject.release.name, "path": "HTTP" if url else "offline"}, 0), tiers


def known_settings(path: Path, protocol: str) -> dict[str, Known]:
    """By task: the baselines that an earlier run wrote down. Raises `InvalidConfig` for a file that is none of its."""
    try:
        report = json.loads(path.read_text())
        tasks = report["tasks"] if isinstance(report, dict) else report
        return {
            task["task"]: [method for method in task["methods"] if not method["name"].startswith(OWN)]
            for task in tasks
            if task["protocol"] == protocol
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidConfig(f"{path}: not what an evaluation wrote: {error!r}") from error


def agree(task: str, served: Longs, offline: Longs, truth: Truth) -> None:
    """Every user's metrics, not only their means, must be the same on both paths."""
    ours, theirs = per_user(served, truth), per_user(offline, truth)
    for name, values in ours.items():
        gap = np.abs(values - theirs[name])
        if gap.max(initial=0.0) > AGREEMENT:
            raise AttuneError(
                f"{task}: {name} differs between HTTP and offline for {int((gap > AGREEMENT).sum())} users: "
                f"{values.mean():.8f} and {theirs[name].mean():.8f} on average"
            )


def first_users(task: Task, users: int | None) -> Task:
    """The task with only its first users."""
    if users is None or users >= len(task.user_ids):
        return task
    return task.take(np.arange(users))

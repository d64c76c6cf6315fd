"""Users of whom hardly anything is known: declared interests only, or their latest 1, 3 or 5 events."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from interest.batch import Floats
from interest.catalogue import Catalogue, CatalogueView
from interest.events import Event, Facet, InterestEdit
from interest.features import item_facets
from interest.store.open import open_reader, open_writer
from interest.store.protocol import StoreReader
from ranking.baselines.base import Settings, rank
from ranking.baselines.content import Content, declared_scores
from ranking.baselines.counting import WINDOWS_DAYS, Popularity
from ranking.baselines.data import Interactions, Requests
from ranking.baselines.folder import NumberedWorld, questions_of, ranked_rows
from ranking.baselines.tuning import Questions
from ranking.comparison import Lists, Truth, compare
from ranking.offline import all_items
from ranking.tasks import Task, shared_tasks
from serve.commands.data import progress_bars, row_counter
from serve.commands.evaluate import OWN
from serve.commands.evaluation_client import Progress, ask, post
from serve.commands.evaluation_subject import load_subject, truth_of
from serve.commands.run import store_in

EVENTS = (1, 3, 5)
USERS = 500  # the first of the task with enough events
DECLARED = 10  # interests of a user without events
EVENTS_AT_ONCE = 1_000
DEPTH = 20


@dataclass(frozen=True, slots=True)
class Study:
    """The users, what they did before their instant (newest first), and how to ask about them."""

    task: Task
    acts: Sequence[Sequence[Event]]
    questions: Questions  # with the whole history, which nobody may be recommended again
    numbers: NumberedWorld
    truth: Truth
    url: str
    progress: Progress


def declare(data: Path, home: Path) -> None:
    """Write down what the users of the study declare, each as of their own instant; before a server reads the store.

    Declared are the `DECLARED` categories, tags and words with the greatest sum of weights over the items the user had.
    A server stamps an edit with the end of its data, after which the users' held-out events are not to be foretold.
    """
    with closing(open_reader(store_in(home))) as reader, closing(open_writer(store_in(home))) as writer:
        catalogue = Catalogue()
        catalogue.apply(all_items(reader))
        task, acts = _study(reader, data)
        writer.append(
            [
                InterestEdit(
                    record_id=f"{_stranger(user_id, 0)}:declared",
                    user_id=_stranger(user_id, 0),
                    timestamp=as_of,
                    facets=tuple(_frequent(own, catalogue.view())),
                    replace=True,
                )
                for user_id, as_of, own in zip(task.user_ids, task.as_of.tolist(), acts, strict=True)
            ]
        )


def cold_users(console: Console, data: Path, home: Path, url: str) -> list[dict[str, Any]]:
    """One comparison for each amount of knowledge: popularity, content cosine and Attune on the same users.

    `home` is one that `declare` has written to.
    """
    with closing(open_reader(store_in(home))) as reader, progress_bars(console) as bars:
        subject = load_subject(reader, home, data, strict=False)
        task, acts = _study(reader, data)
        questions = questions_of(task, subject.numbers)
        truth = truth_of(questions, subject.numbers)
        study = Study(task, acts, questions, subject.numbers, truth, url, row_counter(bars))
        found = [_declared(study, subject.stages.catalogue.view())]
        found += [_truncated(study, count) for count in EVENTS]
    return found


def _study(reader: StoreReader, data: Path) -> tuple[Task, list[list[Event]]]:
    """Users with at least as many events before their instant as the largest of `EVENTS`, and these, newest first."""
    task = next(task for task in shared_tasks(data) if task.name == "new")
    chosen, acts = [], []
    for place, (user_id, as_of) in enumerate(zip(task.user_ids, task.as_of.tolist(), strict=True)):
        own = [event for event in reader.events_of(user_id, 100_000) if event.timestamp <= as_of]
        if len(own) >= max(EVENTS):
            chosen.append(place)
            acts.append(own)
        if len(chosen) == USERS:
            break
    return task.take(np.array(chosen, dtype=np.int64)), acts


def _stranger(user_id: str, events: int) -> str:
    """Under what name this user comes back with so many events."""
    return f"cold-{events}-{user_id}"


def _truncated(study: Study, count: int) -> dict[str, Any]:
    """The latest `count` events of each, posted as those of somebody new, asked for as of the user's own instant."""
    names = [_stranger(user_id, count) for user_id in study.task.user_ids]
    bodies = [
        _event_body(name, place, event)
        for name, own in zip(names, study.acts, strict=True)
        for place, event in enumerate(own[:count])
    ]
    for start in range(0, len(bodies), EVENTS_AT_ONCE):
        post(study.url, "/v1/events", {"events": bodies[start : start + EVENTS_AT_ONCE]})
    requests = _latest(study.questions.requests, study.numbers, study.acts, count)

    def content(settings: Settings) -> Floats:
        return Content().fit(study.numbers.world, settings).scores(requests)

    return {"events": count, **_compared(study, _bodies(study, names), requests, Content.grid, content)}


def _declared(study: Study, view: CatalogueView) -> dict[str, Any]:
    """No events, but what `declare` wrote down, asked for as of the user's own instant like all others."""
    names = [_stranger(user_id, 0) for user_id in study.task.user_ids]
    texts = [" ".join(facet.name for facet, _ in _frequent(own, view)) for own in study.acts]
    scores = declared_scores(study.numbers.world.texts, texts)
    requests = study.questions.requests
    found = _compared(study, _bodies(study, names), requests, ({"vectors": "words"},), lambda _: scores)
    return {"events": 0, "declared": DECLARED, **found}


def _frequent(acts: Sequence[Event], view: CatalogueView) -> list[tuple[Facet, float]]:
    """The heaviest facets of these items, the first one at weight 1."""
    weights: dict[Facet, float] = {}
    for item_id in dict.fromkeys(event.item_id for event in acts):
        row = view.row_of_id(item_id)
        for facet, weight in item_facets(view.items[row]) if row is not None else ():
            weights[facet] = weights.get(facet, 0.0) + weight
    best = sorted(weights.items(), key=lambda entry: (-entry[1], entry[0].kind, entry[0].name))[:DECLARED]
    return [(facet, weight / best[0][1]) for facet, weight in best]


def _latest(requests: Requests, numbers: NumberedWorld, acts: Sequence[Sequence[Event]], count: int) -> Requests:
    """The requests of strangers with only their latest events as history."""
    kept = [(place, event) for place, own in enumerate(acts) for event in reversed(own[:count])]
    history = Interactions(
        np.array([place for place, _ in kept], dtype=np.int64),
        np.array([numbers.item_rows[event.item_id] for _, event in kept], dtype=np.int64),
        np.array([event.timestamp for _, event in kept], dtype=np.float64),
    )
    return replace(requests, user=np.full(len(requests), -1), history=history)


def _bodies(study: Study, names: Sequence[str]) -> list[dict[str, Any]]:
    """One request a user that leaves out all they ever had, also what the server does not know of."""
    return [
        {"user_id": name, "count": DEPTH, "as_of": at, "exclude_ids": sorted({event.item_id for event in own})}
        for name, at, own in zip(names, study.task.as_of.tolist(), study.acts, strict=True)
    ]


def _compared(
    study: Study,
    asked: Sequence[Mapping[str, Any]],
    requests: Requests,
    content_grid: Sequence[Settings],
    content: Callable[[Settings], Floats],
) -> dict[str, Any]:
    """Attune's replies beside popularity and content cosine, each at its best setting on these very users."""
    answers = ask(study.url, asked, f"cold users: {asked[0]['user_id'].split('-')[1]} events", study.progress)
    world = study.numbers.world

    def best(name: str, tried: Sequence[Settings], scores: Callable[[Settings], Floats]) -> Lists:
        ranked = [rank(scores(settings), study.questions.requests, DEPTH) for settings in tried]
        first = max(range(len(tried)), key=lambda place: study.questions.ndcg_of(ranked[place]))
        return Lists(name, ranked[first], tried[first], len(tried))

    recent = Popularity("popularity", (None, *WINDOWS_DAYS))
    baselines = [
        best(recent.name, recent.grid, lambda settings: recent.fit(world, settings).scores(requests)),
        best(Content.name, content_grid, content),
    ]
    own = Lists(OWN, ranked_rows(answers.lists, study.numbers, DEPTH), {}, 0)
    return {"tiers": dict(answers.tiers), **compare([own], baselines, study.truth).to_json()}


def _event_body(name: str, place: int, event: Event) -> dict[str, Any]:
    return {
        "id": f"{name}:{place}",
        "type": event.type.value,
        "user_id": name,
        "item_id": event.item_id,
        "timestamp": event.timestamp,
        "value": event.value,
    }

"""Training writes a whole release that serves, from a log, from few users and from a catalogue alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from interest.batch import ragged_offsets
from interest.events import Event
from interest.items import Item
from interest.store.open import open_reader, open_writer
from interest.store.protocol import StoreReader, StoreWriter
from ranking.lambdamart import BoosterSettings
from ranking.offline import evaluate_offline, load_stages
from ranking.release import ModelRepository, Release
from ranking.synthetic import World, make_world
from ranking.tasks import Task
from ranking.training import TrainingSettings, train

pytestmark = pytest.mark.thorough

SETTINGS = TrainingSettings(
    encoder="ngram",
    ngram_dims=16,
    cuts=2,
    max_requests=200,
    folds=2,
    held_out_requests=200,
    booster=BoosterSettings(trees=20),
)
CREATED = 1_700_000_000.0


@dataclass(frozen=True)
class Shop:
    """An empty store and an empty repository."""

    reader: StoreReader
    writer: StoreWriter
    repository: ModelRepository

    def train(self, seed: int = 0, progress: Progress | None = None, until: float | None = None) -> Release:
        options: dict[str, Any] = {"seed": seed, "progress": progress, "created": CREATED, "until": until}
        return train(self.reader, self.writer, self.repository, SETTINGS, **options)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield new_shop(tmp_path, stack)


def new_shop(folder: Path, stack: ExitStack) -> Shop:
    folder.mkdir(exist_ok=True)
    url = f"sqlite:///{folder / 'attune.db'}"
    writer, reader = open_writer(url), open_reader(url)
    stack.callback(writer.close)
    stack.callback(reader.close)
    return Shop(reader, writer, ModelRepository(folder / "models"))


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(3), items_per_domain=40, users=60, events=4_000)


def sums(shop: Shop, release: Release) -> dict[str, object]:
    return {stage: shop.repository.open_version(stage, v).manifest["files"] for stage, v in release.models.items()}


def last_events_task(events: list[Event], users: int) -> Task:
    """The last event of each of the first users, asked for one second before."""
    last = {event.user_id: event for event in sorted(events, key=lambda event: event.timestamp)}
    chosen = [last[user] for user in sorted(last)[:users]]
    return Task(
        name="last",
        user_ids=tuple(event.user_id for event in chosen),
        as_of=np.array([event.timestamp - 1.0 for event in chosen]),
        relevant_offsets=ragged_offsets([1] * len(chosen)),
        relevant_ids=tuple(event.item_id for event in chosen),
        exclude_seen=False,
    )


def test_a_log_gives_a_release_of_every_ranking_stage_that_loads_and_answers(shop: Shop, world: World) -> None:
    shop.writer.put_items(world.items, None, "")
    shop.writer.append(world.events)
    release = shop.train()
    assert sorted(release.models) == ["encoder", "interest", "reranker", "retriever"]
    assert shop.repository.latest() == release
    assert release.details["reranker"] == "lambdamart"
    assert release.metrics["queries"] >= 50
    stages = load_stages(shop.reader, shop.repository, release)
    assert (np.abs(np.linalg.norm(stages.catalogue.view().content, axis=1) - 1) < 1e-3).all()
    task = last_events_task(world.events, 40)
    first, second = (evaluate_offline(shop.reader, stages, task) for _ in range(2))
    assert first.means() == second.means()
    assert first.hit_rate.mean() > 0.1  # 10 of 200 items by chance: 0.05


def test_the_same_log_and_seed_give_the_same_files(shop: Shop, world: World) -> None:
    shop.writer.put_items(world.items, None, "")
    shop.writer.append(world.events)
    first, again = shop.train(seed=5), shop.train(seed=5)
    assert (first.name, again.name) == ("1", "2")
    assert again.data_fingerprint == first.data_fingerprint
    assert sums(shop, again) == sums(shop, first)


def test_training_until_an_instant_gives_the_models_of_a_store_that_ends_there(shop: Shop, world: World) -> None:
    events = sorted(world.events, key=lambda event: event.timestamp)
    until = events[3 * len(events) // 4].timestamp
    shop.writer.put_items(world.items, None, "")
    shop.writer.append(events)
    cut = shop.train(until=until)
    with ExitStack() as stack:
        past = new_shop(shop.repository.root.parent / "past", stack)
        past.writer.put_items(world.items, None, "")
        past.writer.append([event for event in events if event.timestamp < until])
        expected = past.train()
        assert cut.data_fingerprint == expected.data_fingerprint
        assert sums(shop, cut) == sums(past, expected)
    assert (cut.details["until"], expected.details["until"]) == (until, None)
    assert sums(shop, shop.train()) != sums(shop, cut), "the later events would have made a difference"


def test_a_catalogue_without_events_gives_a_release_without_reranker_that_still_answers(shop: Shop) -> None:
    shop.writer.put_items([Item(item_id=str(n), title=f"lamp {n}", tags=("light",)) for n in range(12)], None, "")
    release = shop.train()
    assert sorted(release.models) == ["encoder", "interest", "retriever"]
    assert release.details["reranker"] == "fixed fusion: too few past requests"
    stages = load_stages(shop.reader, shop.repository, release)
    ranked = stages.recommend(shop.reader.profiles(["nobody"]), np.array([CREATED]), 10, exclude_seen=True)
    assert len(set(ranked.ranked_item.tolist())) == 10


def test_few_users_give_a_release_without_reranker(shop: Shop, world: World) -> None:
    few = {event.user_id for event in world.events[:3]}
    shop.writer.put_items(world.items, None, "")
    shop.writer.append([event for event in world.events if event.user_id in few][:60])
    release = shop.train()
    assert "reranker" not in release.models
    assert shop.repository.open_version("interest", "1").manifest["dims"]["items"] > 0


def test_an_empty_store_gives_a_release_too(shop: Shop) -> None:
    release = shop.train()
    stages = load_stages(shop.reader, shop.repository, release)
    ranked = stages.recommend(shop.reader.profiles(["nobody"]), np.array([CREATED]), 10, exclude_seen=False)
    assert len(ranked.ranked_item) == 0


def test_every_step_shows_its_bar(shop: Shop) -> None:
    shop.writer.put_items([Item(item_id="1", title="lamp")], None, "")
    with Progress(console=Console(quiet=True)) as progress:
        shop.train(progress=progress)
    assert {task.description for task in progress.tasks} == {"encoder", "embeddings", "log", "interest model"}
    assert all(task.finished for task in progress.tasks)

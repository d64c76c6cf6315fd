"""Incremental training: a cheap release that goes on from the newest one, and a clear refusal where it cannot."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interest.errors import InvalidRelease
from interest.events import Event
from interest.fitting import InterestSettings
from interest.items import Item
from interest.model import InterestModel
from interest.store.open import open_reader, open_writer
from interest.store.protocol import StoreReader, StoreWriter
from ranking.incremental import train_incrementally
from ranking.lambdamart import BoosterSettings
from ranking.learning import past_queries
from ranking.offline import load_stages
from ranking.queries import Queries
from ranking.release import ModelRepository, Release
from ranking.reranker import MODEL_FILE
from ranking.synthetic import World, make_world
from ranking.training import TrainingSettings, train
from ranking.training_steps import CHECKPOINT
from ranking.training_windows import Window
from ranking.training_windows import World as LearningWorld

pytestmark = pytest.mark.thorough

SETTINGS = TrainingSettings(
    encoder="ngram",
    ngram_dims=16,
    cuts=2,
    max_requests=200,
    folds=2,
    held_out_requests=200,
    booster=BoosterSettings(trees=20, threads=1),
)
KNOWN = 3_500  # events of the world's log that the first release is trained on


@dataclass(frozen=True)
class Shop:
    """A store with the `known` part of a world's log, and a repository with a release trained on it."""

    reader: StoreReader
    writer: StoreWriter
    repository: ModelRepository
    known: list[Event]
    later: list[Event]

    def train(self, created: float = 1.0) -> Release:
        return train(self.reader, self.writer, self.repository, SETTINGS, created=created)

    def go_on(self, created: float = 2.0, settings: TrainingSettings = SETTINGS, until: float | None = None) -> Release:
        return train_incrementally(self.reader, self.writer, self.repository, settings, created=created, until=until)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(3), items_per_domain=40, users=60, events=4_000)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """The folder of a shop that knows all but the last events, and was trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    with opened(folder, world) as shop:
        shop.writer.put_items(world.items, None, "")
        shop.writer.append(shop.known)
        shop.train()
    return folder


@pytest.fixture
def shop(tmp_path: Path, trained: Path, world: World) -> Iterator[Shop]:
    with opened(shutil.copytree(trained, tmp_path / "shop"), world) as shop:
        yield shop


@contextmanager
def opened(folder: Path, world: World) -> Iterator[Shop]:
    url = f"sqlite:///{folder / 'attune.db'}"
    with closing(open_writer(url)) as writer, closing(open_reader(url)) as reader:
        yield Shop(reader, writer, ModelRepository(folder / "models"), world.events[:KNOWN], world.events[KNOWN:])


def copy_of(shop: Shop, folder: Path) -> Shop:
    """The same store with a repository of its own."""
    shutil.copytree(shop.repository.root, folder)
    return replace(shop, repository=ModelRepository(folder))


def trees_of(shop: Shop, release: Release) -> list[str]:
    """The trees of the release's reranker as LightGBM writes them, in order."""
    folder = shop.repository.open_version("reranker", release.models["reranker"]).folder
    text = (folder / MODEL_FILE).read_text().split("end of trees")[0]
    return [tree.split("\n", 1)[1] for tree in text.split("Tree=")[1:]]


def interest_of(shop: Shop, release: Release) -> InterestModel:
    return InterestModel.load(shop.repository.open_version("interest", release.models["interest"]).folder)


def test_what_is_new_is_learned_and_the_encoder_stays(shop: Shop) -> None:
    first = shop.repository.read_release("1")
    new_item = Item(item_id="brand-new", title="brand new lamp")
    shop.writer.put_items([new_item], None, "")
    buys = [replace(event, event_id=f"new-{n}", item_id="brand-new") for n, event in enumerate(shop.later[:40])]
    shop.writer.append([*shop.later, *buys])
    release = shop.go_on()
    assert release.models["encoder"] == first.models["encoder"]
    assert release.metrics["new_events"] == 540
    assert (release.details["from"], release.details["increments"]) == ("1", 1)
    model = interest_of(shop, release)
    assert "brand-new" in model.item_ids
    assert "brand-new" not in interest_of(shop, first).item_ids
    stages = load_stages(shop.reader, shop.repository, release)
    row = stages.catalogue.view().row_of_id("brand-new")
    assert row is not None
    assert np.linalg.norm(stages.catalogue.view().content[row]) == pytest.approx(1.0, abs=1e-3)
    ranked = stages.recommend(
        shop.reader.profiles(shop.reader.user_ids(5)), np.full(5, shop.later[-1].timestamp), 10, True
    )
    assert len(ranked.ranked_item) == 50


def test_the_reranker_gets_trees_in_proportion_to_new_requests_and_few_requests_wait(shop: Shop) -> None:
    first = shop.repository.read_release("1")
    shop.writer.append(shop.later[:20])
    waiting = shop.go_on(created=2.0)
    assert waiting.models["reranker"] == first.models["reranker"]
    assert (waiting.metrics["queries"], waiting.metrics["trees"]) == (first.metrics["queries"], 20)
    assert waiting.details["reranked"] == first.details["reranked"]
    shop.writer.append(shop.later[20:])
    longer = shop.go_on(created=3.0)
    added, seen = longer.metrics["queries"] - first.metrics["queries"], first.metrics["queries"]
    assert longer.metrics["trees"] == 20 + round(20 * added / seen) >= 25
    assert longer.details["reranked"]["interest"] == longer.models["interest"]
    old, new = (trees_of(shop, release) for release in (first, longer))
    assert new[:20] == old, "what was learned stays"
    again = shop.go_on(created=4.0)
    assert again.models["reranker"] == longer.models["reranker"], "no request teaches twice"


def test_requests_are_asked_with_an_interest_model_that_knows_nothing_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.writer.append(shop.later)
    first = shop.repository.read_release("1")
    seen: list[Window] = []

    def watched(world: LearningWorld, past: Sequence[Window], *rest: Any) -> Queries | None:
        seen.extend(past)
        return past_queries(world, past, *rest)

    monkeypatch.setattr("ranking.continued.past_queries", watched)
    shop.go_on()
    [window] = seen
    assert first.details["reranked"]["until"] == max(event.timestamp for event in shop.known)
    assert window.requests.as_of.min() >= first.details["reranked"]["until"]
    assert np.array_equal(window.model.output_vectors, interest_of(shop, first).output_vectors)


def test_increments_add_up_to_what_one_over_the_same_events_gives(shop: Shop, tmp_path: Path) -> None:
    shop.writer.append(shop.later)
    copy = copy_of(shop, tmp_path / "copy")
    halfway = shop.go_on(created=2.0, until=shop.later[250].timestamp)
    assert (halfway.details["until"], halfway.metrics["new_events"]) == (shop.later[250].timestamp, 250)
    twice, once = shop.go_on(created=3.0), copy.go_on(created=3.0)
    assert (twice.details["increments"], once.details["increments"]) == (2, 1)
    assert (twice.metrics["new_events"], once.metrics["new_events"]) == (250, 500)
    assert once.data_fingerprint == twice.data_fingerprint
    one, two = interest_of(copy, once), interest_of(shop, twice)
    assert one.item_ids == two.item_ids
    first, second = (model.input_vectors @ model.output_vectors.T for model in (one, two))
    assert np.abs(first - second).max() < 0.01 * np.abs(first).max()


def test_the_same_log_and_seed_give_the_same_files(shop: Shop, tmp_path: Path) -> None:
    shop.writer.append(shop.later)
    files = []
    for each in (copy_of(shop, tmp_path / "copy"), shop):
        release = each.go_on()
        versions = [*sorted(release.models.items()), (CHECKPOINT, release.details[CHECKPOINT])]
        files.append([each.repository.open_version(name, version).manifest["files"] for name, version in versions])
    assert files[0] == files[1]


def test_nothing_new_gives_the_same_items_and_only_the_newest_checkpoints_are_kept(shop: Shop) -> None:
    items = interest_of(shop, shop.repository.read_release("1")).item_ids
    for created in (2.0, 3.0, 4.0):
        assert interest_of(shop, shop.go_on(created)).item_ids == items
    assert shop.repository.versions(CHECKPOINT) == ["3", "4"]
    assert shop.repository.versions("interest") == ["1", "2", "3", "4"]


def test_an_erased_user_asks_for_a_full_training(shop: Shop) -> None:
    shop.writer.erase_user(shop.reader.user_ids(1)[0])
    with pytest.raises(InvalidRelease, match="erased or changed since; run a full training"):
        shop.go_on()
    shop.train(created=2.0)
    assert shop.go_on(created=3.0).name == "3"


def test_a_flipped_byte_in_the_checkpoint_is_refused(shop: Shop) -> None:
    (file,) = (shop.repository.root / CHECKPOINT).rglob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InvalidRelease, match="sha256"):
        shop.go_on()


def test_other_settings_ask_for_a_full_training(shop: Shop) -> None:
    settings = replace(SETTINGS, interest=InterestSettings(l2=61.0))
    with pytest.raises(InvalidRelease, match=r"interest\.l2 expected 61\.0, found 60\.0; run a full training"):
        shop.go_on(settings=settings)


def test_a_reranker_of_other_features_asks_for_a_full_training(shop: Shop) -> None:
    folder = shop.repository.root / "reranker" / "1"
    path, manifest = folder / "reranker.json", folder / "manifest.json"
    path.write_text(json.dumps({"features": ["popularity"]}))
    content = json.loads(manifest.read_text())
    del content["files"]["reranker.json"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(InvalidRelease, match="trained on other features than this version makes; run a full training"):
        shop.go_on()


def test_without_a_release_or_a_checkpoint_a_full_training_is_asked_for(shop: Shop, tmp_path: Path) -> None:
    empty = ModelRepository(tmp_path / "empty")
    with pytest.raises(InvalidRelease, match="no release to go on from; run a full training"):
        train_incrementally(shop.reader, shop.writer, empty, SETTINGS)
    first = shop.repository.read_release("1")
    shop.repository.write_release(replace(first, name="9", created=9.0, details={}))
    with pytest.raises(InvalidRelease, match="release 9: it has no checkpoint; run a full training"):
        shop.go_on()

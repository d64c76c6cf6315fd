"""The stages in one process: equal requests get equal replies in any batch, unknown items are never found."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from interest.errors import InvalidRelease
from interest.events import Facet
from interest.profile import Declaration, empty_profile
from interest.store.open import open_reader, open_writer
from interest.store.protocol import StoreReader
from ranking.batch import CandidateBatch
from ranking.lambdamart import BoosterSettings
from ranking.offline import OfflineStages, candidate_labels, evaluate_offline, load_stages
from ranking.release import ModelRepository
from ranking.sources import SCORES
from ranking.synthetic import World, make_world
from ranking.tasks import Task
from ranking.training import TrainingSettings, train

pytestmark = pytest.mark.thorough

SETTINGS = TrainingSettings(
    encoder="ngram",
    ngram_dims=32,
    cuts=2,
    max_requests=200,
    folds=2,
    held_out_requests=200,
    booster=BoosterSettings(trees=20),
)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(11), items_per_domain=60, users=70, events=4_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    url = f"sqlite:///{folder / 'attune.db'}"
    writer, reader = open_writer(url), open_reader(url)
    writer.put_items(world.items, None, "")
    writer.append(world.events)
    train(reader, writer, ModelRepository(folder / "models"), SETTINGS, created=1.0)
    reader.close()
    writer.close()
    return folder


@pytest.fixture(scope="module")
def reader(folder: Path) -> Iterator[StoreReader]:
    reader = open_reader(f"sqlite:///{folder / 'attune.db'}")
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def stages(folder: Path, reader: StoreReader) -> OfflineStages:
    repository = ModelRepository(folder / "models")
    release = repository.latest()
    assert release is not None
    return load_stages(reader, repository, release)


def test_a_stranger_is_offered_more_of_what_they_declared(stages: OfflineStages, reader: StoreReader) -> None:
    view = stages.catalogue.view()
    now = np.array([reader.last_event_at() or 0.0])
    categories = sorted({name for item in view.items[: len(view)] for name in item.categories})

    def found(category: str, *declared: Facet) -> int:
        """Items of the category among the first ten for somebody with these interests."""
        stranger = replace(empty_profile("new"), declared={facet: Declaration(1.0, now[0], "") for facet in declared})
        rows = view.rows(stages.recommend([stranger], now, 10, exclude_seen=True).ranked_item)
        return sum(category in view.items[row].categories for row in rows.tolist())

    told = [found(name, Facet("category", name)) for name in categories]
    untold = [found(name) for name in categories]
    assert all(more >= less for more, less in zip(told, untold, strict=True))
    assert sum(told) > 2 * sum(untold)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_users_reply_is_bit_equal_whatever_batch_it_travels_in(
    stages: OfflineStages, reader: StoreReader, exclude_seen: bool
) -> None:
    profiles = reader.profiles([*reader.user_ids(), "nobody"])
    now = np.full(len(profiles), reader.last_event_at() or 0.0)
    together = stages.recommend(profiles, now, 10, exclude_seen)
    assert_array_equal(np.diff(together.ranked_offsets), 10)
    for size in (1, 2, 7):
        for start in range(0, len(profiles), 13):
            part = slice(start, start + size)
            alone = stages.recommend(profiles[part], now[part], 10, exclude_seen)
            rows = slice(10 * start, 10 * start + len(alone.ranked_item))
            assert_array_equal(alone.ranked_item, together.ranked_item[rows])
            assert_array_equal(alone.ranked_score, together.ranked_score[rows])
            assert_array_equal(alone.ranked_parts, together.ranked_parts[rows])


def test_a_relevant_item_that_the_catalogue_lacks_counts_but_is_never_found(
    stages: OfflineStages, reader: StoreReader, world: World
) -> None:
    user = reader.user_ids()[0]
    now = np.array([max(event.timestamp for event in world.events)])
    first = stages.recommend(reader.profiles([user]), now, 1, False).ranked_item[0]
    best = stages.catalogue.view().ids[int(stages.catalogue.view().rows(np.array([first]))[0])]
    task = Task("one", (user,), now, np.array([0, 1]), (best,), False)
    assert evaluate_offline(reader, stages, task).means()["recall"] == 1.0
    more = replace(task, relevant_offsets=np.array([0, 2]), relevant_ids=(best, "no such item"))
    assert evaluate_offline(reader, stages, more).means()["recall"] == 0.5


def test_labels_mark_the_candidates_that_their_own_user_wanted() -> None:
    scores = np.zeros((5, len(SCORES)), dtype=np.float32)
    candidates = CandidateBatch(np.array([0, 3, 5]), np.array([1, 2, 3, 2, 9]), scores)
    found = candidate_labels(candidates, np.array([0, 2, 3]), np.array([3, 7, 2]))
    assert_array_equal(found, [0, 0, 1, 1, 0])


def test_a_release_whose_retriever_was_made_for_other_vectors_is_refused(folder: Path, reader: StoreReader) -> None:
    repository = ModelRepository(folder / "models")
    release = repository.latest()
    assert release is not None
    manifest = repository.root / "retriever" / release.models["retriever"] / "manifest.json"
    held = manifest.read_text()
    manifest.write_text(held.replace('"embedding": 32', '"embedding": 31'))
    try:
        with pytest.raises(InvalidRelease, match=r"dims\.embedding expected 32, found 31"):
            load_stages(reader, repository, release)
    finally:
        manifest.write_text(held)

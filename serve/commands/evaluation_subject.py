"""What an evaluation is about: a store, its newest release, and a data folder numbered like the catalogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interest.batch import Floats
from interest.errors import InvalidConfig
from interest.store.protocol import StoreReader
from ranking.baselines.data import fitted_matrix
from ranking.baselines.folder import NumberedWorld, per_user_world, strict_world
from ranking.baselines.tuning import Questions
from ranking.comparison import Truth
from ranking.offline import OfflineStages, load_stages
from ranking.release import UNTIL, ModelRepository, Release
from ranking.tasks import strict_cut


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: a home's store, its newest release, and the data folder numbered like its catalogue."""

    reader: StoreReader
    release: Release
    stages: OfflineStages
    numbers: NumberedWorld


def load_subject(reader: StoreReader, home: Path, data: Path, strict: bool) -> Subject:
    """The newest release of a home. Raises `InvalidConfig` without one, or where it saw what a strict one must not."""
    repository = ModelRepository(home / "models")
    release = repository.latest()
    if release is None:
        raise InvalidConfig(f"{home}: no release; `attune run --data {data}` makes one")
    if strict and release.details.get(UNTIL) != strict_cut(data):
        raise InvalidConfig(
            f"{home}: release {release.name} was trained until {release.details.get(UNTIL)}, the strict cut is "
            f"{strict_cut(data)}"
        )
    stages = load_stages(reader, repository, release)
    view = stages.catalogue.view()
    texts = [item.content() for item in view.items[: len(view)]]
    make: Callable[[Path, Sequence[str], Sequence[str], Floats], NumberedWorld]
    make = strict_world if strict else per_user_world
    return Subject(reader, release, stages, make(data, view.ids[: len(view)], texts, view.content))


def truth_of(questions: Questions, numbers: NumberedWorld) -> Truth:
    """What lists for these questions are judged by."""
    world = numbers.world
    counts = np.asarray((fitted_matrix(world, None) > 0).sum(axis=0), dtype=np.float64).ravel()
    return Truth(questions.offsets, questions.relevant, world.embeddings, counts, world.users)

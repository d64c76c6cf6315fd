"""What a full and an incremental training share: progress bars, writing versions, embedding items, fingerprints."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from rich.progress import Progress, TaskID

from interest.catalogue import Catalogue
from interest.checkpoint import Checkpoint
from interest.model import InterestModel
from interest.store.protocol import ItemChange, StoreReader, StoreWriter
from ranking.encoder import Encoder
from ranking.encoder_files import encoder_identity
from ranking.features import FEATURES
from ranking.lambdamart import BoosterSettings, save_booster
from ranking.offline import all_items, events_of_known_items
from ranking.popularity import Popularity
from ranking.release import ManifestFields, ModelRepository, Release
from ranking.retriever_settings import RetrieverSettings
from ranking.training_windows import World

RERANKED = "reranked"  # of a release's details: how far the reranker has learned, and with which interest model
CHECKPOINT = "checkpoint"  # a name in the repository, and of a release's details: the version that goes with it
RELEASES_HELD = 2  # whose embeddings and checkpoints are kept
ENCODED_AT_ONCE = 1_000


class Steps:
    """One bar a step that has something to do, or nothing at all."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, step: str, done: int, total: int) -> None:
        if self._progress is None or not total:
            return
        if step not in self._bars:
            self._bars[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._bars[step], completed=done, total=total)


@dataclass(frozen=True, slots=True)
class Target:
    """Where versions go and what they have in common."""

    repository: ModelRepository
    created: float  # unix seconds
    fingerprint: str

    def write(
        self,
        stage: str,
        save: Callable[[Path], None],
        dims: Mapping[str, int],
        metrics: Mapping[str, float],
        details: Mapping[str, Any],
    ) -> str:
        """The number of the new version."""
        fields = ManifestFields(
            created=self.created, dims=dims, metrics=metrics, data_fingerprint=self.fingerprint, details=details
        )
        return self.repository.write_version(stage, self.repository.next_version(stage), save, fields).version

    def write_interest(self, model: InterestModel, checkpoint: Checkpoint) -> tuple[str, str]:
        """The versions of the model and of its checkpoint, which lies apart: serving verifies every file it loads."""
        sizes = {"rank": model.dims, "items": len(model.item_ids)}
        details = asdict(checkpoint.settings)
        version = self.write("interest", model.save, sizes, {}, details)
        items = {"items": len(checkpoint.item_keys)}
        return version, self.write(CHECKPOINT, checkpoint.save, items, {}, {"interest": version})

    def write_encoder(self, encoder: Encoder) -> str:
        return self.write("encoder", encoder.save, {"embedding": encoder.dims}, {}, {"name": encoder.name})

    def write_retriever(self, settings: RetrieverSettings, model: InterestModel, encoder: str, embedding: int) -> str:
        """`encoder` and `embedding`: name and dims of the encoder."""
        sizes = {"rank": model.dims, "embedding": embedding}
        return self.write("retriever", settings.save, sizes, {}, {"encoder": encoder})

    def write_reranker(self, booster: lightgbm.Booster, settings: BoosterSettings, metrics: Mapping[str, float]) -> str:
        sizes = {"features": len(FEATURES)}
        return self.write("reranker", lambda folder: save_booster(booster, folder), sizes, metrics, asdict(settings))


def embed_items(changes: Sequence[ItemChange], writer: StoreWriter, encoder: Encoder, steps: Steps) -> None:
    """Attach this encoder's vectors to these items; deleted ones have none."""
    living = [(change, change.item) for change in changes if change.item is not None]
    for start in range(0, len(living), ENCODED_AT_ONCE):
        part = living[start : start + ENCODED_AT_ONCE]
        vectors = encoder.encode([item.content() for _, item in part])
        writer.set_embeddings([(change.item_id, change.seq) for change, _ in part], vectors, encoder.name)
        steps.show("embeddings", start + len(part), len(living))


def load_world(reader: StoreReader, encoder: str, dims: int, until: float | None) -> World:
    """What the store holds of items, users, and events before `until`; `encoder`, `dims`: whose vectors come along."""
    catalogue = Catalogue(dims, encoder)
    catalogue.apply(all_items(reader, encoder))
    events = events_of_known_items(reader.event_columns(), catalogue.view())
    if until is not None:
        events = events.where(events.timestamp < until)
    popularity = Popularity()
    popularity.append(events)
    ids = reader.user_ids()
    users = dict(zip(reader.user_keys(ids).tolist(), ids, strict=True))
    return World(reader, catalogue, popularity, events, users)


def data_fingerprint(world: World) -> str:
    """sha256 over the items' ids and the events' columns: the same data, the same text."""
    digest = hashlib.sha256("\n".join(world.catalogue.view().ids).encode())
    events = world.events
    for column in (events.user_key, events.item_key, events.event_type, events.timestamp, events.value):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def forget_old(writer: StoreWriter, repository: ModelRepository) -> None:
    """Keep embeddings and checkpoints of the newest releases: replicas of the previous one serve on for a while."""
    releases = [repository.read_release(name) for name in repository.releases()[-RELEASES_HELD:]]
    versions = {release.models["encoder"] for release in releases}
    folders = [repository.open_version("encoder", version).folder for version in sorted(versions)]
    writer.keep_embeddings([encoder_identity(folder)[0] for folder in folders])
    held = {checkpoint_of(release) for release in releases}
    for version in repository.versions(CHECKPOINT):
        if version not in held:
            repository.delete_version(CHECKPOINT, version)


def checkpoint_of(release: Release) -> str | None:
    """The version of the release's checkpoint; None where it has none."""
    version: str | None = release.details.get(CHECKPOINT)
    return version

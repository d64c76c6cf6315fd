"""Training: from a store's items and events to a release in the model repository."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress, TaskID

from interest.catalogue import Catalogue
from interest.model import InterestModel
from interest.store.protocol import EventColumns, StoreReader, StoreWriter
from ranking.encoder import CombinedEncoder, Encoder, MiniLMEncoder, NgramEncoder
from ranking.encoder_files import encoder_identity
from ranking.features import FEATURES
from ranking.lambdamart import save_booster
from ranking.learning import (
    Queries,
    TrainingSettings,
    World,
    fit_interest,
    fit_reranker,
    fit_retriever,
    past_queries,
    past_windows,
)
from ranking.offline import all_items, events_of_known_items
from ranking.popularity import Popularity
from ranking.release import UNTIL, ManifestFields, ModelRepository, Release

__all__ = ["TrainingSettings", "train"]

ENCODED_AT_ONCE = 1_000
RELEASES_EMBEDDED = 2


def train(
    reader: StoreReader,
    writer: StoreWriter,
    repository: ModelRepository,
    settings: TrainingSettings | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    created: float | None = None,
    until: float | None = None,
) -> Release:
    """Fit every model, attach the item embeddings to the store, write the versions and the release.

    Nothing leaks: a request's candidates and features come from an interest model fitted before its window, from
    the profile and popularity as of the request, through the very code that serves. The interest model of the
    release is fitted on all events. Without enough events the release has no reranker, and serving uses
    `ranking.reranker.fused_scores`. The same store, settings, seed and number of threads give the same models.
    `created` is the release's time in unix seconds, now by the wall clock when not given. With `until` (unix seconds)
    nothing that is fitted on behaviour sees an event at or after that instant, and the release says so.
    """
    settings = settings or TrainingSettings()
    steps = _Steps(progress)
    rng = np.random.default_rng(seed)
    encoder = _fit_encoder(reader, settings, rng, steps)
    _embed_items(reader, writer, encoder, steps)
    world = _load_world(reader, encoder, until)
    past = past_windows(world, settings, rng, lambda done, total: steps.show("past interests", done, total))
    if past:
        settings = replace(settings, retriever=fit_retriever(world, past[-1], settings.retriever, seed))
    queries = past_queries(world, past, settings, lambda done, total: steps.show("past requests", done, total))
    model = fit_interest(world, float(world.events.timestamp.max(initial=0.0)), settings.interest, rng)
    steps.show("interest model", 1, 1)
    target = _Target(repository, time.time() if created is None else created, _fingerprint(world))
    models = _write_models(target, encoder, model, settings)
    metrics = _write_reranker(target, models, queries, settings, seed, steps)
    release = Release(
        name=repository.next_release(),
        created=target.created,
        models=models,
        data_fingerprint=target.fingerprint,
        metrics=metrics,
        details={
            "reranker": "lambdamart" if queries else "fixed fusion: too few past requests",
            "seed": seed,
            UNTIL: until,
        },
    )
    repository.write_release(release)
    _forget_old_embeddings(writer, repository)
    return release


class _Steps:
    """One bar a step, or nothing at all."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, step: str, done: int, total: int) -> None:
        if self._progress is None:
            return
        if step not in self._bars:
            self._bars[step] = self._progress.add_task(step, total=total)
        self._progress.update(self._bars[step], completed=done, total=total)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where versions go and what they have in common."""

    repository: ModelRepository
    created: float
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


def _fit_encoder(reader: StoreReader, settings: TrainingSettings, rng: np.random.Generator, steps: _Steps) -> Encoder:
    if settings.encoder == "minilm":
        return MiniLMEncoder()
    steps.show("encoder", 0, 1)
    texts = [change.item.content() for change in all_items(reader) if change.item is not None]
    neutral = NgramEncoder.fit(texts, settings.ngram_dims, rng)
    steps.show("encoder", 1, 1)
    return neutral if settings.encoder == "ngram" else CombinedEncoder(neutral, MiniLMEncoder())


def _embed_items(reader: StoreReader, writer: StoreWriter, encoder: Encoder, steps: _Steps) -> None:
    living = [(change, change.item) for change in all_items(reader) if change.item is not None]
    for start in range(0, len(living), ENCODED_AT_ONCE):
        part = living[start : start + ENCODED_AT_ONCE]
        vectors = encoder.encode([item.content() for _, item in part])
        writer.set_embeddings([(change.item_id, change.seq) for change, _ in part], vectors, encoder.name)
        steps.show("embeddings", start + len(part), len(living))


def _forget_old_embeddings(writer: StoreWriter, repository: ModelRepository) -> None:
    """Keep those of the newest releases: replicas of the previous one serve on until the new one has taken over."""
    releases = [repository.read_release(name) for name in repository.releases()[-RELEASES_EMBEDDED:]]
    versions = {release.models["encoder"] for release in releases}
    folders = [repository.open_version("encoder", version).folder for version in sorted(versions)]
    writer.keep_embeddings([encoder_identity(folder)[0] for folder in folders])


def _load_world(reader: StoreReader, encoder: Encoder, until: float | None) -> World:
    catalogue = Catalogue(encoder.dims, encoder.name)
    catalogue.apply(all_items(reader, encoder.name))
    events = _before(events_of_known_items(reader.event_columns(), catalogue.view()), until)
    popularity = Popularity()
    popularity.append(events)
    ids = reader.user_ids()
    users = dict(zip(reader.user_keys(ids).tolist(), ids, strict=True))
    return World(reader, catalogue, popularity, events, users)


def _before(events: EventColumns, until: float | None) -> EventColumns:
    """The events before that instant, all of them without one."""
    if until is None:
        return events
    early = events.timestamp < until
    return EventColumns(**{item.name: getattr(events, item.name)[early] for item in fields(EventColumns)})


def _fingerprint(world: World) -> str:
    """sha256 over the items' ids and the events' columns: the same data, the same text."""
    digest = hashlib.sha256("\n".join(world.catalogue.view().ids).encode())
    events = world.events
    for column in (events.user_key, events.item_key, events.event_type, events.timestamp, events.value):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _write_models(
    target: _Target, encoder: Encoder, model: InterestModel, settings: TrainingSettings
) -> dict[str, str]:
    """The versions by stage of everything but the reranker."""
    sizes = {"rank": model.dims, "items": len(model.item_ids)}
    shared = {"rank": model.dims, "embedding": encoder.dims}
    return {
        "encoder": target.write("encoder", encoder.save, {"embedding": encoder.dims}, {}, {"name": encoder.name}),
        "interest": target.write("interest", model.save, sizes, {}, asdict(settings.interest)),
        "retriever": target.write("retriever", settings.retriever.save, shared, {}, {"encoder": encoder.name}),
    }


def _write_reranker(
    target: _Target,
    models: dict[str, str],
    queries: Queries | None,
    settings: TrainingSettings,
    seed: int,
    steps: _Steps,
) -> dict[str, float]:
    """Fit and write the reranker, name its version in `models`, return its metrics; nothing without queries."""
    if queries is None:
        return {}
    steps.show("reranker", 0, 1)
    booster, metrics = fit_reranker(queries, settings.booster, settings.horizon_s, seed)
    dims, details = {"features": len(FEATURES)}, asdict(settings.booster)
    models["reranker"] = target.write("reranker", lambda folder: save_booster(booster, folder), dims, metrics, details)
    steps.show("reranker", 1, 1)
    return metrics

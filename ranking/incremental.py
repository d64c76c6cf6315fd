"""Incremental training: the newest release goes on from its checkpoint to the events that have come since."""

import time
from pathlib import Path

import numpy as np
from rich.progress import Progress

from interest.checkpoint import Checkpoint
from interest.errors import InvalidRelease
from interest.incremental import fit_incrementally
from interest.model import InterestModel
from interest.store.protocol import StoreReader, StoreWriter
from ranking.continued import continued_reranker, require_features
from ranking.encoder import load_encoder
from ranking.encoder_files import encoder_identity
from ranking.release import UNTIL, ModelRepository, Release
from ranking.retriever_settings import settings_of
from ranking.training_steps import (
    CHECKPOINT,
    ENCODED_AT_ONCE,
    RERANKED,
    Steps,
    Target,
    checkpoint_of,
    data_fingerprint,
    embed_items,
    forget_old,
    load_world,
)
from ranking.training_windows import TrainingSettings, World

INCREMENTS = "increments"  # of a release's details: incremental trainings since the last full one


def train_incrementally(
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
    """A release with the newest one's encoder, quotas and type weights, and an interest model of all events.

    Only items without a vector are encoded; the sums of the interest model are those of the checkpoint and of what has
    happened since (`interest.incremental`); the reranker gets more trees (`ranking.continued`). Arguments as for
    `ranking.training.train`. Raises `InvalidRelease`, which says to train in full, when there is no checkpoint or the
    newest release does not fit this code, these settings or this log.
    """
    settings, steps = settings or TrainingSettings(), Steps(progress)
    base = _base(repository)
    checkpoint = Checkpoint.load(
        repository.open_version(CHECKPOINT, str(checkpoint_of(base))).folder, settings.interest
    )
    require_features(repository, base)
    retrieving = settings_of(repository, base)
    folder = repository.open_version("encoder", base.models["encoder"]).folder
    _encode_new_items(reader, writer, folder, steps)
    encoder = encoder_identity(folder)
    world = load_world(reader, *encoder, until)
    steps.show("log", 1, 1)
    model, following = _fit_interest(world, checkpoint, _interest_of(repository, base), seed, until)
    steps.show("interest model", 1, 1)
    longer = continued_reranker(world, repository, base, settings, seed, steps)
    target = Target(repository, time.time() if created is None else created, data_fingerprint(world))
    interest, version = target.write_interest(model, following)
    retriever = target.write_retriever(retrieving, model, *encoder)
    models = {**base.models, "interest": interest, "retriever": retriever}
    metrics = {name: base.metrics[name] for name in ("queries", "trees") if name in base.metrics}
    details = {**base.details, "from": base.name, "seed": seed, UNTIL: until, CHECKPOINT: version}
    details[INCREMENTS] = base.details.get(INCREMENTS, 0) + 1
    if longer is not None:
        booster, metrics = longer
        models["reranker"] = target.write_reranker(booster, settings.booster, metrics)
        details[RERANKED] = {"until": following.now, "interest": interest}
    release = Release(
        name=repository.next_release(),
        created=target.created,
        models=models,
        data_fingerprint=target.fingerprint,
        metrics={**metrics, "new_events": float(np.sum(~checkpoint.counted(world.events)))},
        details=details,
    )
    repository.write_release(release)
    forget_old(writer, repository)
    return release


def _base(repository: ModelRepository) -> Release:
    base = repository.latest()
    if base is None:
        raise InvalidRelease(f"{repository.root}: no release to go on from; run a full training (attune train)")
    if checkpoint_of(base) is None:
        raise InvalidRelease(f"release {base.name}: it has no checkpoint; run a full training (attune train)")
    return base


def _encode_new_items(reader: StoreReader, writer: StoreWriter, folder: Path, steps: Steps) -> None:
    """The encoder in `folder` is loaded only when there is something to encode."""
    name, _ = encoder_identity(folder)
    missing = reader.items_without_embedding(name, ENCODED_AT_ONCE)
    encoder = load_encoder(folder) if missing else None
    while encoder and missing:
        embed_items(missing, writer, encoder, steps)
        missing = reader.items_without_embedding(name, ENCODED_AT_ONCE)


def _interest_of(repository: ModelRepository, base: Release) -> InterestModel:
    return InterestModel.load(repository.open_version("interest", base.models["interest"]).folder)


def _fit_interest(
    world: World, checkpoint: Checkpoint, model: InterestModel, seed: int, until: float | None
) -> tuple[InterestModel, Checkpoint]:
    view = world.catalogue.view()
    order = np.argsort(view.keys)
    return fit_incrementally(
        checkpoint,
        model,
        world.events,
        view.keys[order],
        [view.ids[row] for row in order],
        float(world.events.timestamp.max(initial=0.0)),
        np.random.default_rng(seed),
        np.inf if until is None else until,
    )

"""Incremental training: the newest release goes on from its checkpoint to the events that have come since."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from interest.checkpoint import Checkpoint
from interest.errors import InvalidRelease
from interest.incremental import fit_incrementally
from interest.model import InterestModel
from interest.store.protocol import EventColumns, ItemChange, StoreReader, StoreWriter
from ranking.encoder import load_encoder
from ranking.encoder_files import encoder_identity
from ranking.features import FEATURES
from ranking.learning import TrainingSettings
from ranking.offline import all_items
from ranking.release import UNTIL, ModelRepository, Release
from ranking.reranker import SETTINGS_FILE
from ranking.retriever_settings import settings_of
from ranking.training_steps import (
    CHECKPOINT,
    ENCODED_AT_ONCE,
    Steps,
    Target,
    before,
    checkpoint_of,
    data_fingerprint,
    embed_items,
    forget_old,
)

INCREMENTS = "increments"  # of a release's details: incremental trainings since the last full one
FULL = "run a full training (attune train)"


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
    """A release of the newest one's encoder, quotas, type weights and reranker with an interest model of all events.

    Only items without a vector are encoded; the sums of the interest model are those of the checkpoint and of what has
    happened since (`interest.incremental`). Arguments as for `ranking.training.train`. Raises `InvalidRelease`, which
    says to train in full, when there is no checkpoint or the newest release does not fit this code, these settings or
    this log.
    """
    settings = settings or TrainingSettings()
    steps = Steps(progress)
    base = _base(repository)
    held = repository.open_version(CHECKPOINT, str(checkpoint_of(base)))
    checkpoint = Checkpoint.load(held.folder, settings.interest)
    _require_features(repository, base)
    encoder = _encode_new_items(
        reader, writer, repository.open_version("encoder", base.models["encoder"]).folder, steps
    )
    items = all_items(reader)
    events = before(_of_items(reader.event_columns(), items), until)
    steps.show("log", 1, 1)
    by_key = sorted(items, key=lambda change: change.item_key)
    model, following = fit_incrementally(
        checkpoint,
        InterestModel.load(repository.open_version("interest", base.models["interest"]).folder),
        events,
        np.array([change.item_key for change in by_key], dtype=np.int64),
        [change.item_id for change in by_key],
        float(events.timestamp.max(initial=0.0)),
        np.random.default_rng(seed),
        np.inf if until is None else until,
    )
    steps.show("interest model", 1, 1)
    fingerprint = data_fingerprint((change.item_id for change in items), events)
    target = Target(repository, time.time() if created is None else created, fingerprint)
    interest, version = target.write_interest(model, following)
    retriever = target.write_retriever(settings_of(repository, base), model, *encoder)
    release = Release(
        name=repository.next_release(),
        created=target.created,
        models={**base.models, "interest": interest, "retriever": retriever},
        data_fingerprint=fingerprint,
        metrics={"new_events": float(np.sum(~checkpoint.counted(events)))},
        details={**_details(base), "seed": seed, UNTIL: until, CHECKPOINT: version},
    )
    repository.write_release(release)
    forget_old(writer, repository)
    return release


def _encode_new_items(reader: StoreReader, writer: StoreWriter, folder: Path, steps: Steps) -> tuple[str, int]:
    """Name and dims of the encoder in `folder`, which is loaded only when there is something to encode."""
    name, dims = encoder_identity(folder)
    missing = reader.items_without_embedding(name, ENCODED_AT_ONCE)
    encoder = load_encoder(folder) if missing else None
    while encoder and missing:
        embed_items(missing, writer, encoder, steps)
        missing = reader.items_without_embedding(name, ENCODED_AT_ONCE)
    return name, dims


def _base(repository: ModelRepository) -> Release:
    base = repository.latest()
    if base is None:
        raise InvalidRelease(f"{repository.root}: no release to go on from; {FULL}")
    if checkpoint_of(base) is None:
        raise InvalidRelease(f"release {base.name}: it has no checkpoint; {FULL}")
    return base


def _require_features(repository: ModelRepository, base: Release) -> None:
    """The reranker is kept, so it must read the features that this code makes."""
    if "reranker" not in base.models:
        return
    path = repository.open_version("reranker", base.models["reranker"]).folder / SETTINGS_FILE
    if tuple(json.loads(path.read_text("utf-8"))["features"]) != FEATURES:
        raise InvalidRelease(f"{path}: the reranker was trained on other features than this version makes; {FULL}")


def _details(base: Release) -> Mapping[str, Any]:
    number = base.details.get(INCREMENTS, 0) + 1
    return {"reranker": base.details.get("reranker"), "from": base.name, INCREMENTS: number}


def _of_items(events: EventColumns, items: list[ItemChange]) -> EventColumns:
    """The events of these items."""
    known = np.isin(events.item_key, np.array([change.item_key for change in items], dtype=np.int64))
    return EventColumns(
        events.seq[known],
        events.user_key[known],
        events.item_key[known],
        events.event_type[known],
        events.timestamp[known],
        events.value[known],
    )

"""Training: from a store's items and events to a release in the model repository."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rich.progress import Progress

from interest.incremental import first_checkpoint
from interest.store.protocol import StoreReader, StoreWriter
from ranking.encoder import CombinedEncoder, Encoder, MiniLMEncoder, NgramEncoder
from ranking.learning import fit_reranker, past_queries
from ranking.offline import all_items
from ranking.queries import Queries
from ranking.release import UNTIL, ModelRepository, Release
from ranking.retriever_learning import fit_quotas_of, fit_trees
from ranking.training_steps import (
    CHECKPOINT,
    RERANKED,
    Steps,
    Target,
    data_fingerprint,
    embed_items,
    forget_old,
    load_world,
)
from ranking.training_windows import (
    TrainingSettings,
    Window,
    World,
    fit_interest,
    held_out_windows,
    new_item_windows,
    past_windows,
)

__all__ = ["TrainingSettings", "train"]


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

    No feature leaks: a request's candidates and features come from the profile and popularity as of the request, and
    from an interest model fitted before its window, or on a log without what its user did from then on, through the
    very code that serves. Only the few trees that choose the candidates have learned from some of these requests, which
    keeps a few more wanted items among their candidates than serving will. The interest model of the
    release is fitted on all events. Without enough events the release has no reranker, and serving uses
    `ranking.reranker.fused_scores`. The same store, settings, seed and number of threads give the same models.
    `created` is the release's time in unix seconds, now by the wall clock when not given. With `until` (unix seconds)
    nothing that is fitted on behaviour sees an event at or after that instant, and the release says so.
    """
    settings = settings or TrainingSettings()
    steps = Steps(progress)
    rng = np.random.default_rng(seed)
    encoder = _fit_encoder(reader, settings, rng, steps)
    embed_items(all_items(reader), writer, encoder, steps)
    steps.show("log", 0, 1)
    world = load_world(reader, encoder.name, encoder.dims, until)
    steps.show("log", 1, 1)
    past = past_windows(world, settings, rng, lambda done, total: steps.show("past interests", done, total))
    known: list[Window] = []
    if past:
        known = _known_windows(world, settings, rng, steps)
        settings = _with_fitted_retriever(world, past[-1], known, settings, seed, steps)
    queries = past_queries(world, past, settings, lambda done, total: steps.show("past requests", done, total))
    held_out = _held_out_queries(world, known, settings, steps) if queries else None
    now = float(world.events.timestamp.max(initial=0.0))
    steps.show("interest model", 0, 1)
    model = fit_interest(world, now, settings.interest, rng)
    keys, limit = np.sort(world.catalogue.view().keys), np.inf if until is None else until
    checkpoint = first_checkpoint(world.events, keys, model.weights, now, settings.interest, limit)
    steps.show("interest model", 1, 1)
    target = Target(repository, time.time() if created is None else created, data_fingerprint(world))
    interest, checkpoint_version = target.write_interest(model, checkpoint)
    models = {
        "encoder": target.write_encoder(encoder),
        "interest": interest,
        "retriever": target.write_retriever(settings.retriever, model, encoder.name, encoder.dims),
    }
    metrics = _write_reranker(target, models, queries, held_out, settings, seed, steps)
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
            CHECKPOINT: checkpoint_version,
            RERANKED: {"until": now, "interest": interest} if queries else None,
        },
    )
    repository.write_release(release)
    forget_old(writer, repository)
    return release


def _fit_encoder(reader: StoreReader, settings: TrainingSettings, rng: np.random.Generator, steps: Steps) -> Encoder:
    if settings.encoder == "minilm":
        return MiniLMEncoder()
    steps.show("encoder", 0, 1)
    texts = [change.item.content() for change in all_items(reader) if change.item is not None]
    neutral = NgramEncoder.fit(texts, settings.ngram_dims, rng)
    steps.show("encoder", 1, 1)
    return neutral if settings.encoder == "ngram" else CombinedEncoder(neutral, MiniLMEncoder())


def _known_windows(world: World, settings: TrainingSettings, rng: np.random.Generator, steps: Steps) -> list[Window]:
    """Those whose models know as much as the one that serves will, and those of new items."""
    windows = held_out_windows(world, settings, rng, lambda done, total: steps.show("held-out interests", done, total))
    return windows + new_item_windows(world, settings, rng, lambda done, total: steps.show("new items", done, total))


def _with_fitted_retriever(
    world: World, newest: Window, known: Sequence[Window], settings: TrainingSettings, seed: int, steps: Steps
) -> TrainingSettings:
    """Quotas of what the sources name, then the trees that choose from it."""
    steps.show("quotas", 0, 1)
    settings = replace(settings, retriever=fit_quotas_of(world, newest, settings.retriever, seed))
    steps.show("quotas", 1, 1)
    trees = fit_trees(world, known, settings, seed, lambda done, total: steps.show("candidates", done, total))
    return replace(settings, retriever=trees)


def _held_out_queries(
    world: World, known: Sequence[Window], settings: TrainingSettings, steps: Steps
) -> Queries | None:
    return past_queries(world, known, settings, lambda done, total: steps.show("held-out requests", done, total))


def _write_reranker(
    target: Target,
    models: dict[str, str],
    queries: Queries | None,
    held_out: Queries | None,
    settings: TrainingSettings,
    seed: int,
    steps: Steps,
) -> dict[str, float]:
    """Fit and write the reranker, name its version in `models`, return its metrics; nothing without queries."""
    if queries is None:
        return {}
    steps.show("reranker", 0, 1)
    booster, metrics = fit_reranker(queries, settings.booster, settings.horizon_s, seed, held_out)
    models["reranker"] = target.write_reranker(booster, settings.booster, metrics)
    steps.show("reranker", 1, 1)
    return metrics

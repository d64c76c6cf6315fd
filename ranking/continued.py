"""The reranker goes on: more trees from the requests that have come since it last learned."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np

from interest.errors import InvalidRelease
from interest.model import InterestModel
from ranking.features import FEATURES
from ranking.lambdamart import continue_booster
from ranking.learning import past_queries
from ranking.release import ModelRepository, Release
from ranking.requests import LEAD_S, past_requests
from ranking.reranker import MODEL_FILE, SETTINGS_FILE
from ranking.retriever_settings import settings_of
from ranking.training_steps import RERANKED, Steps
from ranking.training_windows import TrainingSettings, Window, World

FEWEST_TREES = 5  # new requests that are worth fewer wait for the next time
MOST_TREES = 2.0  # times those of a full training: every reply pays for them


def require_features(repository: ModelRepository, base: Release) -> None:
    """Raises `InvalidRelease` unless the reranker reads the features that this code makes."""
    if "reranker" not in base.models:
        return
    path = repository.open_version("reranker", base.models["reranker"]).folder / SETTINGS_FILE
    if tuple(json.loads(path.read_text("utf-8"))["features"]) != FEATURES:
        raise InvalidRelease(f"{path}: trained on other features than this version makes; run a full training")


def continued_reranker(
    world: World, repository: ModelRepository, base: Release, settings: TrainingSettings, seed: int, steps: Steps
) -> tuple[lightgbm.Booster, dict[str, float]] | None:
    """The reranker of `base` with trees for new requests in proportion, and how many requests and trees it has now.

    Nothing leaks: the requests came after all that the interest model of their candidates was fitted on, which is the
    one of the release that last taught the reranker. None when there is no reranker or too little to learn from.
    """
    learned = base.details.get(RERANKED)
    if learned is None or "reranker" not in base.models:
        return None
    folder = repository.open_version("reranker", base.models["reranker"]).folder
    booster = lightgbm.Booster(model_str=(folder / MODEL_FILE).read_text("utf-8"))
    trees, seen = booster.num_trees(), base.metrics["queries"]
    window = _window(world, repository, learned, settings, seed)
    most = min(2 * len(window.requests) * trees / seen, MOST_TREES * settings.booster.trees - trees)
    if most < FEWEST_TREES:
        return None
    own = replace(settings, retriever=settings_of(repository, base))
    queries = past_queries(world, [window], own, lambda done, total: steps.show("past requests", done, total))
    number = 0 if queries is None else min(round(len(queries.as_of) * trees / seen), int(most))
    if queries is None or number < FEWEST_TREES:
        return None
    steps.show("reranker", 0, 1)
    longer = continue_booster(booster, queries.data, number, settings.booster, seed)
    steps.show("reranker", 1, 1)
    return longer, {"queries": seen + len(queries.as_of), "trees": float(longer.num_trees())}


def _window(
    world: World, repository: ModelRepository, learned: Mapping[str, Any], settings: TrainingSettings, seed: int
) -> Window:
    """The requests since the reranker last learned, as many at most as a full training asks in its windows."""
    rng = np.random.default_rng(seed)
    model = InterestModel.load(repository.open_version("interest", learned["interest"]).folder)
    start, end = learned["until"] + LEAD_S, float(world.events.timestamp.max(initial=0.0)) + LEAD_S
    requests = past_requests(world.events, start, end, settings.horizon_s, settings.sessions_per_user, rng)
    chosen = rng.permutation(len(requests))[: settings.max_requests]
    return Window(model, requests.take(np.sort(chosen)), rng)

"""Learns the reranker's trees with LightGBM; serving reads what is saved here without it (`ranking.compiled_trees`)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm

from interest.batch import Doubles, Floats, Longs
from ranking.features import FEATURES, RISING
from ranking.reranker import MODEL_FILE, SETTINGS_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterSettings:
    """LambdaMART: trees are small because every reply pays for them (300 candidates x trees x depth)."""

    trees: int = 200
    leaves: int = 31
    learning_rate: float = 0.04
    min_rows_in_leaf: int = 50
    feature_fraction: float = 0.6
    truncation: int = 40  # places that the pairwise gradients look at
    threads: int = 2


@dataclass(frozen=True, slots=True)
class RankingData:
    """Queries to learn from: `values` float32 [N, F], `labels` [N] (0 or 1), `lengths` [Q] rows of each query."""

    values: Floats
    labels: Floats
    lengths: Longs


def predict(booster: lightgbm.Booster, values: Floats, threads: int) -> Doubles:
    """Scores float64 [N] of features float32 [N, len(FEATURES)]."""
    scores: Doubles = booster.predict(values, num_threads=threads)
    return scores


def fit_booster(train: RankingData, settings: BoosterSettings, seed: int) -> lightgbm.Booster:
    """LambdaMART: Burges, C. (2010), "From RankNet to LambdaRank to LambdaMART"; the same bytes for the same seed."""
    booster = lightgbm.train(_parameters(settings, seed), _dataset(train), num_boost_round=settings.trees)
    return lightgbm.Booster(model_str=booster.model_to_string())


def continue_booster(
    booster: lightgbm.Booster, new: RankingData, trees: int, settings: BoosterSettings, seed: int
) -> lightgbm.Booster:
    """The trees of `booster` and so many more, which correct its scores on queries that it has not seen."""
    longer = lightgbm.train(_parameters(settings, seed), _dataset(new), num_boost_round=trees, init_model=booster)
    return lightgbm.Booster(model_str=longer.model_to_string())


def save_booster(booster: lightgbm.Booster, folder: Path) -> None:
    """Write what `Reranker.load` reads: LightGBM's text format and the names of the features in order."""
    (folder / MODEL_FILE).write_text(booster.model_to_string(), "utf-8")
    (folder / SETTINGS_FILE).write_text(json.dumps({"features": FEATURES}, indent=1) + "\n", "utf-8")


def _dataset(data: RankingData) -> lightgbm.Dataset:
    return lightgbm.Dataset(data.values, data.labels, group=data.lengths, feature_name=list(FEATURES))


def _parameters(settings: BoosterSettings, seed: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_rows_in_leaf,
        "lambdarank_truncation_level": settings.truncation,
        "feature_fraction": settings.feature_fraction,
        "monotone_constraints": [int(name in RISING) for name in FEATURES],
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": settings.threads,
        "seed": seed,
        "verbosity": -1,
    }

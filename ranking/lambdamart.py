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

    trees: int = 120
    leaves: int = 31
    learning_rate: float = 0.08
    min_rows_in_leaf: int = 50
    truncation: int = 40  # places that the pairwise gradients look at
    early_stop_rounds: int = 30
    threads: int = 1


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


def fit_booster(
    train: RankingData, settings: BoosterSettings, seed: int, valid: RankingData | None = None
) -> lightgbm.Booster:
    """LambdaMART: Burges, C. (2010), "From RankNet to LambdaRank to LambdaMART"; the same bytes for the same seed.

    Stops at the number of trees with the best nDCG@10 on `valid`, where that is given.
    """
    parameters: dict[str, Any] = {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_rows_in_leaf,
        "lambdarank_truncation_level": settings.truncation,
        "feature_fraction": 0.8,
        "monotone_constraints": [int(name in RISING) for name in FEATURES],
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": settings.threads,
        "seed": seed,
        "verbosity": -1,
    }
    fitted = _dataset(train, None)
    booster = lightgbm.train(
        parameters,
        fitted,
        num_boost_round=settings.trees,
        valid_sets=[] if valid is None else [_dataset(valid, fitted)],
        callbacks=[] if valid is None else [lightgbm.early_stopping(settings.early_stop_rounds, verbose=False)],
    )
    best = booster.model_to_string(num_iteration=None if valid is None else booster.best_iteration)
    return lightgbm.Booster(model_str=best)


def save_booster(booster: lightgbm.Booster, folder: Path) -> None:
    """Write what `Reranker.load` reads: LightGBM's text format and the names of the features in order."""
    (folder / MODEL_FILE).write_text(booster.model_to_string(), "utf-8")
    (folder / SETTINGS_FILE).write_text(json.dumps({"features": FEATURES}, indent=1) + "\n", "utf-8")


def _dataset(data: RankingData, reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        data.values, data.labels, group=data.lengths, reference=reference, feature_name=list(FEATURES)
    )

"""Reranker: scores the candidates of a batch of users with LambdaMART, or by a stated rule without a model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from interest.batch import Doubles, Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import CatalogueView
from interest.errors import InvalidRelease
from ranking.batch import CandidateBatch, RankedBatch
from ranking.boosting import Boosting, Boosts
from ranking.features import FEATURES, RISING, make_features
from ranking.popularity import Popularity

MODEL_FILE, SETTINGS_FILE = "lambdamart.txt", "reranker.json"
MUTED_PENALTY = 1_000.0  # far beyond any score: an item with a muted facet comes after every other one
_PLACE = {name: place for place, name in enumerate(FEATURES)}


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


class Reranker:
    """`booster` None is the reranker of a release that was trained without events."""

    def __init__(self, booster: lightgbm.Booster | None, popularity: Popularity, threads: int = 1) -> None:
        self._booster = booster
        self._popularity = popularity
        self._threads = threads
        self._boosting = Boosting()

    @classmethod
    def load(cls, folder: Path, popularity: Popularity, threads: int = 1) -> "Reranker":
        """The model in `folder`. Raises `InvalidRelease` when it was trained on other features than this code's."""
        path = folder / SETTINGS_FILE
        try:
            features = tuple(json.loads(path.read_text("utf-8"))["features"])
            booster = lightgbm.Booster(model_str=(folder / MODEL_FILE).read_text("utf-8"))
        except (OSError, ValueError, KeyError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise InvalidRelease(f"{folder}: expected a LambdaMART model, found {error!r}") from error
        if features != FEATURES:
            raise InvalidRelease(f"{path}: features expected {FEATURES}, found {features}")
        return cls(booster, popularity, threads)

    def rank(
        self,
        users: UserBatch,
        candidates: CandidateBatch,
        count: Longs,
        view: CatalogueView,
        boosts: Boosts | None = None,
    ) -> RankedBatch:
        """The best `count` [B] candidates of each user by boosted score, ties by lower item key.

        Equal requests get bit-equal scores whatever batch they travel in: rows are scored one by one in float64 and
        compared as the float32 that the reply carries.
        """
        features = make_features(users, candidates, view, self._popularity)
        user = np.repeat(np.arange(len(users.now)), np.diff(candidates.candidate_offsets))
        scores = self._scores(users, user, features.values, candidates.candidate_offsets)
        rows = view.rows(candidates.candidate_item)
        scores = scores + self._boosting.log_factors(boosts, user, rows, view)
        scores = (scores - MUTED_PENALTY * features.muted).astype(np.float32)
        order = np.lexsort((candidates.candidate_item, -scores, user))
        place = np.arange(len(order)) - candidates.candidate_offsets[user]
        kept = order[place < count[user]]
        return RankedBatch(
            ranked_offsets=ragged_offsets(np.minimum(np.diff(candidates.candidate_offsets), count)),
            ranked_item=candidates.candidate_item[kept],
            ranked_score=scores[kept],
            ranked_parts=candidates.candidate_score[kept],
        )

    def _scores(self, users: UserBatch, user: Longs, values: Floats, offsets: Longs) -> Doubles:
        if self._booster is None or not len(values):
            return fused_scores(values, offsets)
        scores = predict(self._booster, values, self._threads)
        stated_only = (np.diff(users.behaviour_offsets) == 0) & (np.diff(users.facet_offsets) > 0)
        if stated_only.any():  # the model never saw users who only said what they like
            scores = np.where(stated_only[user], fused_scores(values, offsets), scores)
        return scores


def predict(booster: lightgbm.Booster, values: Floats, threads: int) -> Doubles:
    """Scores float64 [N] of features float32 [N, len(FEATURES)]."""
    scores: Doubles = booster.predict(values, num_threads=threads)
    return scores


def fused_scores(values: Floats, offsets: Longs) -> Doubles:
    """The fixed rule without a model, float64 [N]; unknown parts count 0.

    collaborative score over the user's greatest + content score + share of the item's facets that the user cares
    about + half of ln(1 + 30-day popularity) over its greatest + half of ln(1 + own acts within half a year).
    """
    parts = np.nan_to_num(values.astype(np.float64))
    recent = parts[:, _PLACE["popularity_30d"]]
    filled = np.flatnonzero(np.diff(offsets))
    greatest = np.ones(len(offsets) - 1)
    greatest[filled] = np.maximum.reduceat(recent, offsets[filled]) if len(filled) else 1.0
    most = np.repeat(np.where(greatest > 0, greatest, 1.0), np.diff(offsets))
    scores: Doubles = (
        parts[:, _PLACE["collaborative_share"]]
        + parts[:, _PLACE["source_content"]]
        + parts[:, _PLACE["facet_overlap_share"]]
        + 0.5 * recent / most
        + 0.5 * np.log1p(parts[:, _PLACE["own_decayed_180d"]])
    )
    return scores


@dataclass(frozen=True, slots=True)
class RankingData:
    """Queries to learn from: `values` float32 [N, F], `labels` [N] (0 or 1), `lengths` [Q] rows of each query."""

    values: Floats
    labels: Floats
    lengths: Longs


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

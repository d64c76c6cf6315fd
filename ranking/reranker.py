"""Reranker: scores the candidates of a batch of users with LambdaMART, or by a stated rule without a model."""

import json
from pathlib import Path

import numpy as np

from interest.batch import Doubles, Floats, Longs, UserBatch
from interest.catalogue import CatalogueView
from interest.errors import InvalidRelease
from ranking.batch import CandidateBatch, ListWishes, RankedBatch, plain_wishes
from ranking.boosting import Boosting, Boosts
from ranking.calibration import CategoryTable
from ranking.compiled_trees import CompiledTrees
from ranking.facet_loop import compiled_overlap
from ranking.features import FEATURES, make_features
from ranking.item_statistics import ItemStatistics
from ranking.lists import arrange, score_order
from ranking.popularity import Popularity

MODEL_FILE, SETTINGS_FILE = "lambdamart.txt", "reranker.json"
MUTED_PENALTY = 1_000.0  # far beyond any score: an item with a muted facet comes after every other one
_PLACE = {name: place for place, name in enumerate(FEATURES)}


class Reranker:
    """`trees` None is the reranker of a release that was trained without events."""

    def __init__(
        self, trees: CompiledTrees | None, popularity: Popularity, statistics: ItemStatistics | None = None
    ) -> None:
        if trees is not None and trees.features != len(FEATURES):
            raise InvalidRelease(f"features of the trees: expected {len(FEATURES)}, found {trees.features}")
        compiled_overlap()
        self._trees = trees
        self._popularity = popularity
        self._statistics = statistics
        self._boosting = Boosting()
        self._categories = CategoryTable()

    @classmethod
    def load(cls, folder: Path, popularity: Popularity, statistics: ItemStatistics | None = None) -> "Reranker":
        """The model in `folder`, compiled. Raises `InvalidRelease` when it was trained on other features than ours."""
        path = folder / SETTINGS_FILE
        try:
            features = tuple(json.loads(path.read_text("utf-8"))["features"])
            trees = CompiledTrees.from_text((folder / MODEL_FILE).read_text("utf-8"))
        except (OSError, ValueError, KeyError, TypeError, InvalidRelease) as error:
            raise InvalidRelease(f"{folder}: expected a LambdaMART model, found {error!r}") from error
        if features != FEATURES:
            raise InvalidRelease(f"{path}: features expected {FEATURES}, found {features}")
        return cls(trees, popularity, statistics)

    def rank(
        self,
        users: UserBatch,
        candidates: CandidateBatch,
        count: Longs,
        view: CatalogueView,
        wishes: ListWishes | None = None,
        boosts: Boosts | None = None,
    ) -> RankedBatch:
        """The best `count` [B] candidates of each user by boosted score, ties by lower item key, then as they wish.

        Equal requests get bit-equal scores whatever batch they travel in: rows are scored one by one in float64 and
        compared as the float32 that the reply carries.
        """
        features = make_features(users, candidates, view, self._popularity, self._statistics)
        user = np.repeat(np.arange(len(users.now)), np.diff(candidates.candidate_offsets))
        rows = view.rows(candidates.candidate_item)
        exact = self._scores(features.values, candidates.candidate_offsets)
        exact = exact + self._boosting.log_factors(boosts, user, rows, view)
        scores = (exact - MUTED_PENALTY * features.muted).astype(np.float32)
        ranked = score_order(scores, features.muted, candidates)
        wishes = plain_wishes(len(count)) if wishes is None else wishes
        lists = arrange(ranked, users, candidates, count, view, wishes, self._categories)
        return RankedBatch(
            ranked_offsets=lists.offsets,
            ranked_item=candidates.candidate_item[lists.rows],
            ranked_score=scores[lists.rows],
            ranked_parts=candidates.candidate_score[lists.rows],
            ranked_propensity=lists.propensity,
        )

    def _scores(self, values: Floats, offsets: Longs) -> Doubles:
        if self._trees is None or not len(values):
            return fused_scores(values, offsets)
        return self._trees.predict(values)


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

"""Learns the reranker's trees with LightGBM; serving reads what is saved here without it (`ranking.compiled_trees`)."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm

from interest.batch import Doubles, Floats, Longs
from ranking.features import FEATURES, RISING
from ranking.pool_features import POOL_FEATURES
from ranking.reranker import MODEL_FILE, SETTINGS_FILE

SPREAD_STEP = 16  # every so many rows tell how widely scores are spread


@dataclass(frozen=True, slots=True, kw_only=True)
class BoosterSettings:
    """Trees are small because every reply pays for them (300 candidates x trees x depth).

    `trees` in all: LambdaMART's and, no more than those, XE-NDCG-MART's. The two losses err differently: together they
    rank better than as many trees of either.
    """

    trees: int = 260
    leaves: int = 31
    learning_rate: float = 0.055
    cross_entropy_rate: float = 0.15  # of XE-NDCG-MART, whose gradients are smaller
    cross_entropy_share: float = 1 / 3  # of the score, between 0 and 1
    min_rows_in_leaf: int = 50
    feature_fraction: float = 0.6
    truncation: int = 40  # places that the pairwise gradients look at
    threads: int = 2


@dataclass(frozen=True, slots=True)
class RankingData:
    """Queries to learn from: `values` float32 [N, F], `labels` [N] (0 or 1), `lengths` [Q] rows of each query.

    F is len(FEATURES), or len(POOL_FEATURES) for trees of a retriever.
    """

    values: Floats
    labels: Floats
    lengths: Longs


def predict(booster: lightgbm.Booster, values: Floats, threads: int) -> Doubles:
    """Scores float64 [N] of features float32 [N, len(FEATURES)]."""
    scores: Doubles = booster.predict(values, num_threads=threads)
    return scores


def fit_booster(train: RankingData, settings: BoosterSettings, seed: int) -> lightgbm.Booster:
    """The trees of two losses in one model that adds their scores; the same bytes for the same seed.

    LambdaMART: Burges, C. (2010), "From RankNet to LambdaRank to LambdaMART". XE-NDCG-MART: Bruch, S. (2021), "An
    Alternative Cross Entropy Loss for Learning-to-Rank", WWW, equation 5. Its scores are brought to the spread of
    LambdaMART's and the two are averaged by their shares, so that the model scores on LambdaMART's scale.
    """
    pairwise, listwise = settings.trees - settings.trees // 2, settings.trees // 2
    data = _dataset(train)  # cut into bins once
    first = lightgbm.train(_parameters(settings, seed), data, num_boost_round=pairwise)
    if not listwise:
        return lightgbm.Booster(model_str=first.model_to_string())
    other = {"objective": "rank_xendcg", "learning_rate": settings.cross_entropy_rate}
    second = lightgbm.train(_parameters(settings, seed) | other, data, num_boost_round=listwise)
    spread = [float(predict(one, train.values[::SPREAD_STEP], settings.threads).std()) for one in (first, second)]
    share = settings.cross_entropy_share
    return _added(first, 1 - share, second, share * spread[0] / spread[1] if spread[1] else 0.0)


def fit_pool_trees(train: RankingData, settings: BoosterSettings, seed: int) -> str:
    """LightGBM's text of `settings.trees` trees over `POOL_FEATURES`, of LambdaMART alone.

    Its truncation reaches as deep as it is told to: to the place where a retriever cuts.
    """
    booster = lightgbm.train(_parameters(settings, seed, POOL_FEATURES), _dataset(train, POOL_FEATURES), settings.trees)
    text: str = booster.model_to_string()
    return text


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


def _added(first: lightgbm.Booster, factor: float, second: lightgbm.Booster, other_factor: float) -> lightgbm.Booster:
    """A model of LambdaMART's kind with the trees of both, whose scores are the sum of theirs times these factors.

    LightGBM's Python has no such call, so it is put together in its text format; it counts `tree_sizes` anew.
    """
    header, *trees = _scaled(first, factor)
    header = re.sub(r"^tree_sizes=.*\n", "", header, flags=re.MULTILINE)
    trees += _scaled(second, other_factor)[1:]
    numbered = [f"Tree={number}\n{tree}" for number, tree in enumerate(trees)]
    text = "".join([header, *numbered, "end of trees\n"])
    return lightgbm.Booster(model_str=lightgbm.Booster(model_str=text).model_to_string())


def _scaled(booster: lightgbm.Booster, factor: float) -> list[str]:
    """Header and trees of a model's text, without their numbers; what the leaves hold is multiplied."""
    body, _, _ = booster.model_to_string().partition("end of trees")
    return [
        re.sub(
            r"^leaf_value=(.*)$",
            lambda line: "leaf_value=" + " ".join(repr(float(value) * factor) for value in line[1].split()),
            part,
            flags=re.MULTILINE,
        )
        for part in re.split(r"^Tree=\d+\n", body, flags=re.MULTILINE)
    ]


def _dataset(data: RankingData, features: tuple[str, ...] = FEATURES) -> lightgbm.Dataset:
    return lightgbm.Dataset(data.values, data.labels, group=data.lengths, feature_name=list(features))


def _parameters(settings: BoosterSettings, seed: int, features: tuple[str, ...] = FEATURES) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_rows_in_leaf,
        "lambdarank_truncation_level": settings.truncation,
        "feature_fraction": settings.feature_fraction,
        "monotone_constraints": [int(name in RISING) for name in features],
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": settings.threads,
        "seed": seed,
        "verbosity": -1,
    }

"""Learning to rank from the log: past requests through the serving code, their queries, and the fitted booster."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import lightgbm
import numpy as np
import numpy.typing as npt

from interest.batch import Doubles
from interest.catalogue import Catalogue
from interest.lookup import InterestLookup
from interest.model import InterestModel, InterestSettings, fit_interest_model
from interest.store.protocol import EventColumns, StoreReader
from ranking.features import make_features
from ranking.lambdamart import BoosterSettings, RankingData, fit_booster, predict
from ranking.model_retriever import make_retriever
from ranking.offline import USERS_AT_ONCE, candidate_labels, plain_requests
from ranking.popularity import Popularity
from ranking.requests import LEAD_S, PastRequests, past_requests, windows
from ranking.retriever_settings import RetrieverSettings

VALIDATION_SHARE = 0.25  # of the queries, the latest ones
FEWEST_QUERIES = 50  # with fewer there is nothing to learn from
METRIC_PLACES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What a training may be told; the defaults are tuned on validation data.

    The last `log_share` of the events is cut into `cuts` windows. For each one an interest model is fitted on the
    events up to its first possible request, and at most `sessions_per_user` sessions of every user inside it become
    requests whose wanted items are those of the following `horizon_s`. Of each query's unwanted candidates `negatives`
    are kept, by chance.
    """

    encoder: Literal["ngram", "minilm", "combined"] = "combined"
    ngram_dims: int = 256
    cuts: int = 4
    log_share: float = 0.5
    sessions_per_user: int = 1
    horizon_s: float = 30 * 86_400.0
    max_requests: int = 3_000
    negatives: int = 100
    interest: InterestSettings = field(default_factory=InterestSettings)
    retriever: RetrieverSettings = field(default_factory=RetrieverSettings)
    booster: BoosterSettings = field(default_factory=BoosterSettings)


@dataclass(frozen=True, slots=True)
class World:
    """What training reads: `events` of items in the catalogue, `user_ids` by user key."""

    reader: StoreReader
    catalogue: Catalogue
    popularity: Popularity
    events: EventColumns
    user_ids: dict[int, str]


@dataclass(frozen=True, slots=True)
class Queries:
    """Q queries to learn from, the instant of each, and whether seen items were left out."""

    data: RankingData
    as_of: Doubles  # [Q] unix seconds
    new_only: npt.NDArray[np.bool_]  # [Q]

    def take(self, keep: npt.NDArray[np.bool_]) -> "Queries":
        """The queries marked in `keep` [Q]."""
        rows = np.repeat(keep, self.data.lengths)
        data = RankingData(self.data.values[rows], self.data.labels[rows], self.data.lengths[keep])
        return Queries(data, self.as_of[keep], self.new_only[keep])


def fit_interest(world: World, now: float, settings: InterestSettings, rng: np.random.Generator) -> InterestModel:
    """The interest model on the events up to `now` (unix seconds)."""
    view = world.catalogue.view()
    order = np.argsort(view.keys)
    return fit_interest_model(world.events, view.keys[order], [view.ids[row] for row in order], now, settings, rng)


def past_queries(
    world: World, settings: TrainingSettings, rng: np.random.Generator, progress: Callable[[int, int], None]
) -> Queries | None:
    """Queries as serving would have seen them; None when there are too few. `progress` hears (windows done, of)."""
    stretches = windows(world.events, settings.cuts, settings.log_share)
    parts: list[Queries] = []
    for number, (start, end) in enumerate(stretches):
        requests = past_requests(world.events, start, end, settings.horizon_s, settings.sessions_per_user, rng)
        chosen = rng.permutation(len(requests))[: settings.max_requests // settings.cuts]
        requests = requests.take(np.sort(chosen))
        if len(requests):
            model = fit_interest(world, start - LEAD_S, settings.interest, rng)  # as of the earliest of the requests
            parts.extend(_window_queries(world, model, requests, settings, rng))
        progress(number + 1, len(stretches))
    if sum(len(part.as_of) for part in parts) < FEWEST_QUERIES:
        return None
    return _joined(parts)


def fit_reranker(
    queries: Queries, settings: BoosterSettings, horizon_s: float, seed: int
) -> tuple[lightgbm.Booster, dict[str, float]]:
    """The booster and its metrics: the number of trees is found on the latest queries, by a model of earlier ones.

    That model never sees what happened at or after the first query it is measured on: an earlier query counts only when
    its `horizon_s` is over by then (where that leaves enough of them). The booster is then fitted on all queries.
    `candidate_ndcg_10_*` is nDCG@10 among the candidates that were kept, so it only compares trainings of one kind.
    """
    cut = float(np.quantile(queries.as_of, 1 - VALIDATION_SHARE, method="lower"))
    valid = queries.take(queries.as_of >= cut)
    earlier = queries.take(queries.as_of + horizon_s <= cut)
    if len(earlier.as_of) < FEWEST_QUERIES:
        earlier = queries.take(queries.as_of < cut)
    metrics = {"queries": float(len(queries.as_of))}
    trees = settings.trees
    if len(earlier.as_of):
        trial = fit_booster(earlier.data, settings, seed, valid.data)
        # More queries carry more trees; that it is by the root of their number is a rule of thumb.
        trees = round(trial.num_trees() * (len(queries.as_of) / len(earlier.as_of)) ** 0.5)
        for name, mode in (("repeat", False), ("new", True)):
            part = valid.take(valid.new_only == mode)
            if len(part.as_of):
                scores = predict(trial, part.data.values, settings.threads)
                metrics[f"candidate_ndcg_10_{name}"] = _candidate_ndcg(scores, part.data)
    booster = fit_booster(queries.data, replace(settings, trees=trees), seed)
    return booster, metrics | {"trees": float(booster.num_trees())}


def _window_queries(
    world: World, model: InterestModel, requests: PastRequests, settings: TrainingSettings, rng: np.random.Generator
) -> list[Queries]:
    """Both modes of each request: with repeats, and new items only."""
    lookup = InterestLookup(model, world.catalogue)
    retriever = make_retriever(world.catalogue, world.popularity, model, settings.retriever)
    view = world.catalogue.view()
    found = []
    for start in range(0, len(requests), USERS_AT_ONCE):
        batch = requests.take(np.arange(start, min(start + USERS_AT_ONCE, len(requests))))
        ids = [world.user_ids[key] for key in batch.user_key.tolist()]
        users = lookup.lookup(world.reader.profiles_as_of(ids, batch.as_of.tolist()), batch.as_of)
        for new_only in (False, True):
            candidates = retriever.retrieve(users, plain_requests(batch.as_of, new_only, settings.retriever.candidates))
            labels = candidate_labels(candidates, batch.wanted_offsets, batch.wanted)
            values = make_features(users, candidates, view, world.popularity).values
            data = RankingData(values, labels, np.diff(candidates.candidate_offsets))
            queries = Queries(data, batch.as_of, np.full(len(ids), new_only))
            found.append(_fewer_negatives(_with_a_wanted_item(queries), settings.negatives, rng))
    return found


def _with_a_wanted_item(queries: Queries) -> Queries:
    """Only the queries that teach something: at least one candidate was wanted."""
    query = np.repeat(np.arange(len(queries.as_of)), queries.data.lengths)
    return queries.take(np.bincount(query, queries.data.labels, minlength=len(queries.as_of)) > 0)


def _fewer_negatives(queries: Queries, limit: int, rng: np.random.Generator) -> Queries:
    """Every wanted candidate and at most `limit` of the others in each query, by chance, in their order."""
    data = queries.data
    query = np.repeat(np.arange(len(data.lengths)), data.lengths)
    chance = np.where(data.labels > 0, 2.0, rng.random(len(query)))
    order = np.lexsort((chance, query))
    place = np.arange(len(query)) - np.repeat(np.cumsum(data.lengths) - data.lengths, data.lengths)
    keep = np.zeros(len(query), dtype=np.bool_)
    keep[order[place < limit]] = True
    keep |= data.labels > 0
    lengths = np.bincount(query[keep], minlength=len(data.lengths))
    return Queries(RankingData(data.values[keep], data.labels[keep], lengths), queries.as_of, queries.new_only)


def _joined(parts: list[Queries]) -> Queries:
    data = RankingData(
        np.concatenate([part.data.values for part in parts]),
        np.concatenate([part.data.labels for part in parts]),
        np.concatenate([part.data.lengths for part in parts]),
    )
    as_of = np.concatenate([part.as_of for part in parts])
    return Queries(data, as_of, np.concatenate([part.new_only for part in parts]))


def _candidate_ndcg(scores: Doubles, data: RankingData) -> float:
    """Mean nDCG@10 of the queries with their own rows as the ideal."""
    query = np.repeat(np.arange(len(data.lengths)), data.lengths)
    place = np.arange(len(query)) - (np.cumsum(data.lengths) - data.lengths)[query]
    discount = np.where(place < METRIC_PLACES, 1.0 / np.log2(place + 2.0), 0.0)
    gain = np.bincount(query, data.labels[np.lexsort((-scores, query))] * discount)
    ideal = np.bincount(query, data.labels[np.lexsort((-data.labels, query))] * discount)
    return float(np.mean(gain / ideal))

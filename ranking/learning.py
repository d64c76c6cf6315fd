"""Learning to rank from past requests: their queries, made by the code that serves, and the fitted booster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import lightgbm
import numpy as np

from interest.batch import Doubles, UserBatch
from interest.lookup import InterestLookup
from ranking.batch import CandidateRequest
from ranking.features import make_features
from ranking.item_statistics import ItemStatistics
from ranking.lambdamart import BoosterSettings, RankingData, fit_booster, predict
from ranking.model_retriever import make_retriever
from ranking.new_items import among_hidden, without_items
from ranking.newcomers import as_newcomers
from ranking.offline import USERS_AT_ONCE, candidate_labels, plain_requests
from ranking.popularity import Popularity
from ranking.queries import Queries, fewer_negatives, joined, with_a_wanted_item
from ranking.requests import PastRequests
from ranking.side_by_side import side_by_side
from ranking.training_windows import TrainingSettings, Window, World

VALIDATION_SHARE = 0.25  # of the queries, the latest ones
FEWEST_QUERIES = 50  # with fewer there is nothing to learn from
METRIC_PLACES = 10
RARE_REPEATS = 0.05  # of the requests of a window: where fewer want anything again, ...
REPEATS_EVERY = 10  # ... one batch in so many is asked with repeats, which is enough to learn that
TRIAL_SHARE = 1 / 4  # of the trees: enough to compare trainings by


def past_queries(
    world: World,
    past: Sequence[Window],
    settings: TrainingSettings,
    progress: Callable[[int, int], None],
) -> Queries | None:
    """Queries as serving would have seen them; None when there are too few. `progress` hears (windows done, of)."""
    found = side_by_side(
        lambda window: _window_queries(replace(world, popularity=world.popularity.apart()), window, settings),
        past,
        settings.threads,
        progress,
    )
    parts = [part for window in found for part in window]
    if sum(len(part.as_of) for part in parts) < FEWEST_QUERIES:
        return None
    return joined(parts)


def fit_reranker(
    queries: Queries, settings: BoosterSettings, horizon_s: float, seed: int, held_out: Queries | None = None
) -> tuple[lightgbm.Booster, dict[str, float]]:
    """The booster of all queries, and the metrics of a smaller one that is measured on queries later than its own.

    `queries` are those of `past_windows`, `held_out` of `held_out_windows`, which only the booster learns from: that
    other one never sees what happened at or after the first query it is measured on: an earlier query counts only
    when its `horizon_s` is over by then (where that leaves enough of them). What chose the candidates may have.
    `candidate_ndcg_10_*` is nDCG@10 among the candidates that were kept, so it only compares trainings of one kind;
    `trees` is the number of the booster that is returned. That number is not taken from the other one: the time of
    those few queries is no better guide to the next one than the number that served several data sets well.
    """
    cut = float(np.quantile(queries.as_of, 1 - VALIDATION_SHARE, method="lower"))
    valid = queries.take(queries.as_of >= cut)
    earlier = queries.take(queries.as_of + horizon_s <= cut)
    if len(earlier.as_of) < FEWEST_QUERIES:
        earlier = queries.take(queries.as_of < cut)
    everything = queries if held_out is None else joined([queries, held_out])
    metrics = {"queries": float(len(everything.as_of))}
    if len(earlier.as_of):
        trial = fit_booster(earlier.data, replace(settings, trees=max(1, round(TRIAL_SHARE * settings.trees))), seed)
        for name, mode in (("repeat", False), ("new", True)):
            part = valid.take(valid.new_only == mode)
            if len(part.as_of):
                scores = predict(trial, part.data.values, settings.threads)
                metrics[f"candidate_ndcg_10_{name}"] = _candidate_ndcg(scores, part.data)
    booster = fit_booster(everything.data, settings, seed)
    return booster, metrics | {"trees": float(booster.num_trees())}


def batches(requests: PastRequests) -> Iterator[PastRequests]:
    """As many at once as serving would see."""
    for start in range(0, len(requests), USERS_AT_ONCE):
        yield requests.take(np.arange(start, min(start + USERS_AT_ONCE, len(requests))))


def users_of(world: World, lookup: InterestLookup, requests: PastRequests) -> UserBatch:
    """As the lookup stage knew them at each request."""
    ids = [world.user_ids[key] for key in requests.user_key.tolist()]
    return lookup.lookup(world.reader.profiles_as_of(ids, requests.as_of.tolist()), requests.as_of)


def _window_queries(world: World, window: Window, settings: TrainingSettings) -> list[Queries]:
    """Each request in both modes, with repeats and new items only, and some of them again as of newcomers.

    Where hardly anybody wants anything again the two would be one request twice: most are asked for new items only,
    and keep as many unwanted candidates as both would.
    """
    if len(window.hidden):
        return _new_item_queries(world, window, settings)
    maker = _QueryMaker(world, window, settings)
    count = settings.retriever.candidates
    rare = window.requests.again.mean() < RARE_REPEATS if len(window.requests) else False
    found = []
    for number, batch in enumerate(batches(window.requests)):
        users = users_of(world, maker.lookup, batch)
        modes = (True,) if rare and number % REPEATS_EVERY else (False, True)
        for new_only in modes:
            asked = plain_requests(batch.as_of, new_only, count)
            found.append(maker.queries(users, batch, asked, settings.negatives * 2 // len(modes)))
    told = as_newcomers(world.events, window.requests, settings.newcomer_share, maker.view, world.user_ids, window.rng)
    for start in range(0, len(told.requests), USERS_AT_ONCE):
        some = told.part(start, start + USERS_AT_ONCE)
        users = maker.lookup.lookup(some.profiles, some.requests.as_of)
        asked = replace(
            plain_requests(some.requests.as_of, True, count), exclude_offsets=some.own_offsets, exclude_item=some.own
        )
        found.append(maker.queries(users, some.requests, asked, settings.negatives))
    return found


def _new_item_queries(world: World, window: Window, settings: TrainingSettings) -> list[Queries]:
    popularity = Popularity()
    popularity.append(without_items(world.events, window.hidden))
    maker = _QueryMaker(replace(world, popularity=popularity), window, settings)
    found = []
    for batch in batches(window.requests):
        users = users_of(world, maker.lookup, batch)
        asked = plain_requests(batch.as_of, True, settings.retriever.candidates)
        hidden = among_hidden(asked, users, batch, window.hidden, window.rng)
        found.append(maker.queries(users, batch, hidden, settings.negatives))
    return found


class _QueryMaker:
    """Candidates, features and labels of one window's requests, by the code that serves."""

    def __init__(self, world: World, window: Window, settings: TrainingSettings) -> None:
        self.lookup = InterestLookup(window.model, world.catalogue)
        self.view = world.catalogue.view()
        self._popularity = world.popularity
        self._statistics = ItemStatistics.of(window.model, self.view)
        self._retriever = make_retriever(
            world.catalogue, world.popularity, window.model, settings.retriever, self._statistics
        )
        self._rng = window.rng

    def queries(self, users: UserBatch, requests: PastRequests, asked: CandidateRequest, negatives: int) -> Queries:
        candidates = self._retriever.retrieve(users, asked)
        labels = candidate_labels(candidates, requests.wanted_offsets, requests.wanted)
        values = make_features(users, candidates, self.view, self._popularity, self._statistics).values
        data = RankingData(values, labels, np.diff(candidates.candidate_offsets))
        queries = Queries(data, requests.as_of, asked.exclude_seen)
        return fewer_negatives(with_a_wanted_item(queries), negatives, self._rng)


def _candidate_ndcg(scores: Doubles, data: RankingData) -> float:
    """Mean nDCG@10 of the queries with their own rows as the ideal."""
    query = np.repeat(np.arange(len(data.lengths)), data.lengths)
    place = np.arange(len(query)) - (np.cumsum(data.lengths) - data.lengths)[query]
    discount = np.where(place < METRIC_PLACES, 1.0 / np.log2(place + 2.0), 0.0)
    gain = np.bincount(query, data.labels[np.lexsort((-scores, query))] * discount)
    ideal = np.bincount(query, data.labels[np.lexsort((-data.labels, query))] * discount)
    return float(np.mean(gain / ideal))

"""Learning to rank from the log: past requests through the serving code, their queries, and the fitted booster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import lightgbm
import numpy as np

from interest.batch import Doubles, Longs, UserBatch
from interest.catalogue import Catalogue
from interest.fitting import InterestSettings, fit_interest_model
from interest.lookup import InterestLookup
from interest.model import InterestModel
from interest.store.protocol import EventColumns, StoreReader
from ranking.batch import CandidateRequest
from ranking.features import make_features
from ranking.item_statistics import ItemStatistics
from ranking.lambdamart import BoosterSettings, RankingData, fit_booster, predict
from ranking.model_retriever import make_retriever
from ranking.newcomers import as_newcomers
from ranking.offline import USERS_AT_ONCE, candidate_labels, plain_requests
from ranking.popularity import Popularity
from ranking.queries import Queries, fewer_negatives, joined, with_a_wanted_item
from ranking.quotas import fit_quotas, source_lists
from ranking.requests import LEAD_S, PastRequests, latest_requests, past_requests, windows
from ranking.retriever_settings import RetrieverSettings

VALIDATION_SHARE = 0.25  # of the queries, the latest ones
FEWEST_QUERIES = 50  # with fewer there is nothing to learn from
METRIC_PLACES = 10
QUOTA_REQUESTS = 400  # that the quotas of the sources are fitted to


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What a training may be told; the defaults are tuned on validation data.

    The last `log_share` of the events is cut into `cuts` windows. For each one an interest model is fitted on the
    events up to its first possible request, and at most `sessions_per_user` sessions of every user inside it become
    requests, at most `max_requests` in all, whose wanted items are those of the following `horizon_s`. The latest
    sessions of at most `held_out_requests` users in the last `held_out_share` of the events are requests, too, in
    `folds` parts: see `held_out_windows`. `newcomer_share` of all requests are asked again as of users of whom hardly
    anything is known. Of each query's unwanted candidates `negatives` are kept, by chance.
    """

    encoder: Literal["ngram", "minilm", "combined"] = "combined"
    ngram_dims: int = 256
    cuts: int = 2
    log_share: float = 0.3
    sessions_per_user: int = 2
    horizon_s: float = 60 * 86_400.0
    max_requests: int = 3_000
    folds: int = 4
    held_out_share: float = 0.6
    held_out_requests: int = 6_000
    newcomer_share: float = 0.2
    negatives: int = 60
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
class Window:
    """Past requests, and an interest model that knows nothing of what their users did from then on.

    `rng` is the window's own: what other windows draw changes nothing in it.
    """

    model: InterestModel
    requests: PastRequests
    rng: np.random.Generator


def fit_interest(world: World, now: float, settings: InterestSettings, rng: np.random.Generator) -> InterestModel:
    """The interest model on the events up to `now` (unix seconds)."""
    view = world.catalogue.view()
    order = np.argsort(view.keys)
    return fit_interest_model(world.events, view.keys[order], [view.ids[row] for row in order], now, settings, rng)


def past_windows(
    world: World, settings: TrainingSettings, rng: np.random.Generator, progress: Callable[[int, int], None]
) -> list[Window]:
    """Requests of each window with the interest model as of before them; `progress` hears (windows done, of)."""
    stretches = windows(world.events, settings.cuts, settings.log_share)
    found = []
    for number, ((start, end), own) in enumerate(zip(stretches, rng.spawn(len(stretches)), strict=True)):
        requests = past_requests(world.events, start, end, settings.horizon_s, settings.sessions_per_user, own)
        chosen = own.permutation(len(requests))[: settings.max_requests // settings.cuts]
        requests = requests.take(np.sort(chosen))
        if len(requests):
            model = fit_interest(world, start - LEAD_S, settings.interest, own)  # as of the earliest of the requests
            found.append(Window(model, requests, own))
        progress(number + 1, len(stretches))
    return found


def held_out_windows(
    world: World, settings: TrainingSettings, rng: np.random.Generator, progress: Callable[[int, int], None]
) -> list[Window]:
    """The latest session of each user as a request, with models of the whole log but for those sessions, by folds.

    The models of `past_windows` are older and have learned from less than the one that serves, so the reranker would
    trust what they say too little. These know what it knows, except what the fold's own users did at and after their
    requests; what others did later they have seen. `progress` hears (folds done, of).
    """
    events, newest = world.events, float(world.events.timestamp.max(initial=0.0))
    start = float(np.quantile(events.timestamp, 1.0 - settings.held_out_share)) if len(events.seq) else 0.0
    requests = latest_requests(events, start, settings.horizon_s, settings.held_out_requests, rng)
    fold = rng.permutation(len(requests)) % settings.folds
    found = []
    for number, own in enumerate(rng.spawn(settings.folds)):
        mine = requests.take(np.flatnonzero(fold == number))
        if len(mine):
            known = events.where(events.timestamp <= _ends(mine, events.user_key))
            found.append(Window(fit_interest(replace(world, events=known), newest, settings.interest, own), mine, own))
        progress(number + 1, settings.folds)
    return found


def _ends(requests: PastRequests, user_key: Longs) -> Doubles:
    """Until when each event [n] of these users may be known: their request's instant, inf for others."""
    order = np.argsort(requests.user_key)
    keys, as_of = requests.user_key[order], requests.as_of[order]
    place = np.minimum(np.searchsorted(keys, user_key), len(keys) - 1)
    return np.where(keys[place] == user_key, as_of[place], np.inf)


def fit_retriever(world: World, window: Window, settings: RetrieverSettings, seed: int) -> RetrieverSettings:
    """These settings with quotas fitted to the requests of one window, in both modes."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(window.requests))[:QUOTA_REQUESTS])
    requests = window.requests.take(chosen)
    even = dict.fromkeys(settings.quotas, 1)  # lists of one depth, so that every quota can be tried on them
    retriever = make_retriever(world.catalogue, world.popularity, window.model, replace(settings, quotas=even))
    lookup = InterestLookup(window.model, world.catalogue)
    lists: list[list[Longs]] = []
    wanted: list[Longs] = []
    for batch in _batches(requests):
        users = _users(world, lookup, batch)
        for new_only in (False, True):
            found = retriever.source_lists(users, plain_requests(batch.as_of, new_only, settings.candidates))
            for user, named in enumerate(found):
                keys = batch.wanted[batch.wanted_offsets[user] : batch.wanted_offsets[user + 1]]
                if new_only:
                    keys = np.setdiff1d(keys, _own(users, user))
                if len(keys):
                    lists.append(named)
                    wanted.append(keys)
    if len(lists) < FEWEST_QUERIES:
        return settings
    return replace(settings, quotas=fit_quotas(source_lists(lists, wanted), settings.quotas, settings.candidates))


def past_queries(
    world: World,
    past: Sequence[Window],
    settings: TrainingSettings,
    progress: Callable[[int, int], None],
) -> Queries | None:
    """Queries as serving would have seen them; None when there are too few. `progress` hears (windows done, of)."""
    parts: list[Queries] = []
    for number, window in enumerate(past):
        parts.extend(_window_queries(world, window, settings))
        progress(number + 1, len(past))
    if sum(len(part.as_of) for part in parts) < FEWEST_QUERIES:
        return None
    return joined(parts)


def fit_reranker(
    queries: Queries, settings: BoosterSettings, horizon_s: float, seed: int, held_out: Queries | None = None
) -> tuple[lightgbm.Booster, dict[str, float]]:
    """The booster of all queries, and the metrics of another one that is measured on queries later than its own.

    `queries` are those of `past_windows`, `held_out` of `held_out_windows`, which only the booster learns from: that
    other one never sees what happened at or after the first query it is measured on: an earlier query counts only
    when its `horizon_s` is over by then (where that leaves enough of them). `candidate_ndcg_10_*` is nDCG@10 among the
    candidates that were kept, so it only compares trainings of one kind. The number of trees is not taken from it: the
    time of those few queries is no better guide to the next one than the number that served several data sets well.
    """
    cut = float(np.quantile(queries.as_of, 1 - VALIDATION_SHARE, method="lower"))
    valid = queries.take(queries.as_of >= cut)
    earlier = queries.take(queries.as_of + horizon_s <= cut)
    if len(earlier.as_of) < FEWEST_QUERIES:
        earlier = queries.take(queries.as_of < cut)
    everything = queries if held_out is None else joined([queries, held_out])
    metrics = {"queries": float(len(everything.as_of))}
    if len(earlier.as_of):
        trial = fit_booster(earlier.data, settings, seed)
        for name, mode in (("repeat", False), ("new", True)):
            part = valid.take(valid.new_only == mode)
            if len(part.as_of):
                scores = predict(trial, part.data.values, settings.threads)
                metrics[f"candidate_ndcg_10_{name}"] = _candidate_ndcg(scores, part.data)
    booster = fit_booster(everything.data, settings, seed)
    return booster, metrics | {"trees": float(booster.num_trees())}


def _window_queries(world: World, window: Window, settings: TrainingSettings) -> list[Queries]:
    """Each request in both modes, with repeats and new items only, and some of them again as of newcomers."""
    maker = _QueryMaker(world, window, settings)
    count = settings.retriever.candidates
    found = []
    for batch in _batches(window.requests):
        users = _users(world, maker.lookup, batch)
        for new_only in (False, True):
            found.append(maker.queries(users, batch, plain_requests(batch.as_of, new_only, count)))
    told = as_newcomers(world.events, window.requests, settings.newcomer_share, maker.view, world.user_ids, window.rng)
    for start in range(0, len(told.requests), USERS_AT_ONCE):
        some = told.part(start, start + USERS_AT_ONCE)
        users = maker.lookup.lookup(some.profiles, some.requests.as_of)
        asked = replace(
            plain_requests(some.requests.as_of, True, count), exclude_offsets=some.own_offsets, exclude_item=some.own
        )
        found.append(maker.queries(users, some.requests, asked))
    return found


class _QueryMaker:
    """Candidates, features and labels of one window's requests, by the code that serves."""

    def __init__(self, world: World, window: Window, settings: TrainingSettings) -> None:
        self.lookup = InterestLookup(window.model, world.catalogue)
        self.view = world.catalogue.view()
        self._popularity = world.popularity
        self._retriever = make_retriever(world.catalogue, world.popularity, window.model, settings.retriever)
        self._statistics = ItemStatistics.of(window.model, self.view)
        self._negatives = settings.negatives
        self._rng = window.rng

    def queries(self, users: UserBatch, requests: PastRequests, asked: CandidateRequest) -> Queries:
        candidates = self._retriever.retrieve(users, asked)
        labels = candidate_labels(candidates, requests.wanted_offsets, requests.wanted)
        values = make_features(users, candidates, self.view, self._popularity, self._statistics).values
        data = RankingData(values, labels, np.diff(candidates.candidate_offsets))
        queries = Queries(data, requests.as_of, asked.exclude_seen)
        return fewer_negatives(with_a_wanted_item(queries), self._negatives, self._rng)


def _batches(requests: PastRequests) -> Iterator[PastRequests]:
    for start in range(0, len(requests), USERS_AT_ONCE):
        yield requests.take(np.arange(start, min(start + USERS_AT_ONCE, len(requests))))


def _users(world: World, lookup: InterestLookup, requests: PastRequests) -> UserBatch:
    ids = [world.user_ids[key] for key in requests.user_key.tolist()]
    return lookup.lookup(world.reader.profiles_as_of(ids, requests.as_of.tolist()), requests.as_of)


def _own(users: UserBatch, user: int) -> Longs:
    return users.behaviour_item[users.behaviour_offsets[user] : users.behaviour_offsets[user + 1]]


def _candidate_ndcg(scores: Doubles, data: RankingData) -> float:
    """Mean nDCG@10 of the queries with their own rows as the ideal."""
    query = np.repeat(np.arange(len(data.lengths)), data.lengths)
    place = np.arange(len(query)) - (np.cumsum(data.lengths) - data.lengths)[query]
    discount = np.where(place < METRIC_PLACES, 1.0 / np.log2(place + 2.0), 0.0)
    gain = np.bincount(query, data.labels[np.lexsort((-scores, query))] * discount)
    ideal = np.bincount(query, data.labels[np.lexsort((-data.labels, query))] * discount)
    return float(np.mean(gain / ideal))

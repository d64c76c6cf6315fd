"""The retriever learns from past requests: quotas of its sources, and trees that choose from what they name."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from interest.batch import Longs, UserBatch
from interest.lookup import InterestLookup
from ranking.lambdamart import BoosterSettings, RankingData, fit_pool_trees
from ranking.learning import FEWEST_QUERIES, batches, past_queries, users_of
from ranking.model_retriever import make_retriever
from ranking.offline import plain_requests
from ranking.pool_features import POOL_FEATURES
from ranking.quotas import fit_quotas, source_lists
from ranking.retriever_settings import RetrieverSettings
from ranking.training_windows import TrainingSettings, Window, World

QUOTA_REQUESTS = 400  # that the quotas of the sources are fitted to
POOL_REQUESTS = 400  # of each window that the trees are fitted to: what is left out of 1,000 takes few to learn
POOL_NEGATIVES = 150  # of each query
POOL_TREES = BoosterSettings(trees=50, leaves=16, learning_rate=0.1)


def fit_quotas_of(world: World, window: Window, settings: RetrieverSettings, seed: int) -> RetrieverSettings:
    """These settings with quotas fitted to the requests of one window, in both modes."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(window.requests))[:QUOTA_REQUESTS])
    requests = window.requests.take(chosen)
    even = dict.fromkeys(settings.quotas, 1)  # lists of one depth, so that every quota can be tried on them
    retriever = make_retriever(world.catalogue, world.popularity, window.model, replace(settings, quotas=even))
    lookup = InterestLookup(window.model, world.catalogue)
    lists: list[list[Longs]] = []
    wanted: list[Longs] = []
    for batch in batches(requests):
        users = users_of(world, lookup, batch)
        for new_only in (False, True):
            found = retriever.source_lists(users, plain_requests(batch.as_of, new_only, settings.pool))
            for user, named in enumerate(found):
                keys = batch.wanted[batch.wanted_offsets[user] : batch.wanted_offsets[user + 1]]
                if new_only:
                    keys = np.setdiff1d(keys, _own(users, user))
                if len(keys):
                    lists.append(named)
                    wanted.append(keys)
    if len(lists) < FEWEST_QUERIES:
        return settings
    return replace(settings, quotas=fit_quotas(source_lists(lists, wanted), settings.quotas, settings.pool))


def fit_trees(
    world: World,
    known: Sequence[Window],
    settings: TrainingSettings,
    seed: int,
    progress: Callable[[int, int], None],
) -> RetrieverSettings:
    """The settings of the retriever with trees fitted to some requests of these windows.

    They see the pool whole, in the ways that the reranker sees its candidates: with repeats and without, as of
    newcomers, for new items alone. Without enough requests there are none, and what is cut off is what the quotas say.
    """
    retriever = replace(settings.retriever, candidates=settings.retriever.pool, trees="")
    wide = replace(settings, retriever=retriever, negatives=POOL_NEGATIVES)
    queries = past_queries(world, [_some(window, seed) for window in known], wide, progress)
    if queries is None:
        return settings.retriever
    data = RankingData(queries.data.values[:, : len(POOL_FEATURES)], queries.data.labels, queries.data.lengths)
    shape = replace(POOL_TREES, truncation=settings.retriever.candidates, threads=settings.booster.threads)
    return replace(settings.retriever, trees=fit_pool_trees(data, shape, seed))


def _some(window: Window, seed: int) -> Window:
    """The same choice and draws whatever else the window is used for."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(window.requests))[:POOL_REQUESTS])
    return replace(window, requests=window.requests.take(chosen), rng=rng)


def _own(users: UserBatch, user: int) -> Longs:
    return users.behaviour_item[users.behaviour_offsets[user] : users.behaviour_offsets[user + 1]]

"""The last resort: recently popular items from the ingress's own copy of the catalogue, asking no other stage."""

import math

import numpy as np

from interest.batch import Doubles
from interest.catalogue import Catalogue, CatalogueView
from ranking.filters import compile_filter
from ranking.popularity import WINDOW, Popularity
from ranking.sources import SCORES
from serve.ranker import Query, Ranking

RECENT_WINDOW = WINDOW[30]  # column of Popularity.counts


class PopularItems:
    """Popularity of the last 30 days, then of all time, ties by lower item key."""

    def __init__(self, catalogue: Catalogue, popularity: Popularity) -> None:
        self._catalogue = catalogue
        self._popularity = popularity

    def ranking(self, query: Query) -> Ranking:
        """At most `query.count` eligible items, none of them excluded; boosters multiply the counts."""
        view = self._catalogue.view()
        counts = self._popularity.counts(query.now, view)
        eligible = view.available.copy()
        if query.domain:
            eligible &= view.domain == view.domain_code(query.domain)
        if query.language:
            eligible &= view.language == view.language_code(query.language)
        if query.filter:
            eligible &= compile_filter(query.filter).mask(view)
        eligible &= ~np.isin(view.keys, query.exclude)
        if query.given is not None:
            eligible = view.available & np.isin(view.keys, query.given)
        rows = np.flatnonzero(eligible)
        boosted = counts[rows] * _factors(query, view)[rows, None]
        order = np.lexsort((view.keys[rows], -boosted[:, -1], -boosted[:, RECENT_WINDOW]))[: query.count]
        best = rows[order]
        parts = np.full((len(best), len(SCORES)), math.nan, dtype=np.float32)
        parts[:, SCORES.index("popular")] = counts[best, RECENT_WINDOW]
        scores = boosted[order, RECENT_WINDOW]
        return Ranking(view.keys[best], scores, parts, np.ones(len(best)), (), False, {})


def _factors(query: Query, view: CatalogueView) -> Doubles:
    """[n_rows]"""
    factors = np.ones(len(view))
    for expression, factor in query.boosts:
        factors[compile_filter(expression).mask(view)] *= factor
    return factors

"""The last resort: recently popular items from the ingress's own copy of the catalogue, asking no other stage."""

import math

import numpy as np

from interest.catalogue import Catalogue
from ranking.filters import compile_filter
from ranking.popularity import WINDOW, Popularity
from ranking.sources import SOURCES
from serve.ranker import Query, Ranking

RECENT_WINDOW = WINDOW[30]  # column of Popularity.counts


class PopularItems:
    """Popularity of the last 30 days, then of all time, ties by lower item key."""

    def __init__(self, catalogue: Catalogue, popularity: Popularity) -> None:
        self._catalogue = catalogue
        self._popularity = popularity

    def ranking(self, query: Query) -> Ranking:
        """At most `query.count` eligible items, none of them excluded by the query."""
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
        rows = np.flatnonzero(eligible)
        order = np.lexsort((view.keys[rows], -counts[rows, -1], -counts[rows, RECENT_WINDOW]))[: query.count]
        best = rows[order]
        parts = np.full((len(best), len(SOURCES)), math.nan, dtype=np.float32)
        parts[:, SOURCES.index("popular")] = counts[best, RECENT_WINDOW]
        return Ranking(view.keys[best], counts[best, RECENT_WINDOW], parts, np.ones(len(best)), (), False, {})

"""A retriever for an interest model: its items joined to the store's keys."""

import numpy as np

from interest.batch import Floats, Longs
from interest.catalogue import Catalogue, CatalogueView
from interest.model import InterestModel
from ranking.item_statistics import ItemStatistics
from ranking.popularity import Popularity
from ranking.retriever import Retriever
from ranking.retriever_settings import RetrieverSettings


def make_retriever(
    catalogue: Catalogue,
    popularity: Popularity,
    model: InterestModel,
    settings: RetrieverSettings,
    statistics: ItemStatistics | None = None,
) -> Retriever:
    """The retriever over the interest model's output vectors, with the release's quotas and trees.

    `statistics`: those of the model's items, made here where they are needed and nobody has them. Raises
    `InvalidRelease` for trees that are none.
    """
    keys, vectors = model_items(model, catalogue.view())
    pool = None
    if settings.trees:
        # This brings a compiler of a hundred megabytes, which vLLM does not start beside.
        from ranking.pool import Pool

        known = statistics or ItemStatistics.of(model, catalogue.view())
        pool = Pool.of(settings.trees, settings.pool, popularity, known)
    return Retriever(catalogue, popularity, keys, vectors, settings.quotas, heads=model.heads, pool=pool)


def model_items(model: InterestModel, view: CatalogueView) -> tuple[Longs, Floats]:
    """Item keys, ascending, and output vectors of the model's items that the catalogue knows."""
    rows = [view.row_of_id(item_id) for item_id in model.item_ids]
    known = [place for place, row in enumerate(rows) if row is not None]
    keys = view.keys[[row for row in rows if row is not None]]
    order = np.argsort(keys)
    return keys[order], np.ascontiguousarray(model.output_vectors[known][order])

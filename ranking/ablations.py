"""Ablations: the served stages with one part taken out, to see what each is worth."""

from collections.abc import Iterator
from dataclasses import replace

from interest.store.protocol import StoreReader
from ranking.offline import OfflineStages, load_stages
from ranking.release import ModelRepository, Release
from ranking.reranker import Reranker
from ranking.retriever_settings import RetrieverSettings, settings_of


def ablations(
    reader: StoreReader, repository: ModelRepository, release: Release, stages: OfflineStages
) -> Iterator[tuple[str, OfflineStages]]:
    """What was taken out, and the stages without it: the learned reranker, the pool, each candidate source by itself.

    The reranker of the release is not trained again without the source. Raises `InvalidRelease`.
    """
    yield "the learned reranker", replace(stages, reranker=Reranker(None, stages.popularity))
    settings = settings_of(repository, release)
    if settings.trees:
        yield "the pool", load_stages(reader, repository, release, replace(settings, trees=""))
    for source, share in settings.quotas.items():
        if share and any(other for name, other in settings.quotas.items() if name != source):
            yield f"source {source}", load_stages(reader, repository, release, without(settings, source))


def without(settings: RetrieverSettings, source: str) -> RetrieverSettings:
    """The same settings with no share for this source: the others take its place."""
    return replace(settings, quotas={**settings.quotas, source: 0})

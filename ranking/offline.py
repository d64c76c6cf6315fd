"""The ranking stages in one process: what training and offline evaluation share with serving."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Doubles, Floats, Longs
from interest.catalogue import Catalogue, CatalogueView
from interest.lookup import InterestLookup
from interest.model import InterestModel
from interest.profile import InterestProfile
from interest.store.protocol import EventColumns, ItemChange, StoreReader
from ranking.batch import CandidateBatch, CandidateRequest, ListWishes, RankedBatch
from ranking.encoder_files import encoder_identity
from ranking.evaluation import Metrics, padded_ranking, ranking_metrics
from ranking.item_statistics import ItemStatistics
from ranking.model_retriever import make_retriever
from ranking.popularity import Popularity
from ranking.release import ModelRepository, Release
from ranking.reranker import Reranker
from ranking.retriever import Retriever
from ranking.retriever_settings import RetrieverSettings, settings_of
from ranking.tasks import Task

PAGE = 10_000  # item changes read at a time
USERS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class OfflineStages:
    """Lookup, retrieval and reranking of one release over one store."""

    catalogue: Catalogue
    popularity: Popularity
    lookup: InterestLookup
    retriever: Retriever
    reranker: Reranker
    candidates: int  # asked of the retriever for each user

    def recommend(
        self,
        profiles: Sequence[InterestProfile],
        now: Doubles,
        count: int,
        exclude_seen: bool,
        wishes: ListWishes | None = None,
    ) -> RankedBatch:
        """The best `count` items of each user as of `now` [B] unix seconds."""
        users = self.lookup.lookup(profiles, now)
        candidates = self.retriever.retrieve(users, plain_requests(now, exclude_seen, max(self.candidates, count)))
        return self.reranker.rank(users, candidates, np.full(len(profiles), count), self.catalogue.view(), wishes)


def load_stages(
    reader: StoreReader, repository: ModelRepository, release: Release, settings: RetrieverSettings | None = None
) -> OfflineStages:
    """Verify and load a release over the store's items and events, with other retriever settings than its own if given.

    Raises `InvalidRelease`.
    """
    encoder, dims = encoder_identity(repository.open_version("encoder", release.models["encoder"]).folder)
    interest = repository.open_version("interest", release.models["interest"])
    model = InterestModel.load(interest.folder)
    interest.require_dims(rank=model.dims, items=len(model.item_ids))
    repository.open_version("retriever", release.models["retriever"]).require_dims(rank=model.dims, embedding=dims)
    settings = settings or settings_of(repository, release)
    catalogue = Catalogue(dims, encoder)
    catalogue.apply(all_items(reader, encoder))
    popularity = Popularity()
    popularity.append(reader.event_columns())
    statistics = ItemStatistics.of(model, catalogue.view())
    reranker = Reranker(None, popularity, statistics)
    if "reranker" in release.models:
        version = repository.open_version("reranker", release.models["reranker"])
        reranker = Reranker.load(version.folder, popularity, statistics)
    retriever = make_retriever(catalogue, popularity, model, settings, statistics)
    lookup = InterestLookup(model, catalogue)
    return OfflineStages(catalogue, popularity, lookup, retriever, reranker, settings.candidates)


def all_items(reader: StoreReader, encoder: str = "") -> list[ItemChange]:
    """The newest state of every item, by ascending seq, with the embeddings of this encoder."""
    changes: list[ItemChange] = []
    while page := reader.item_changes(changes[-1].seq if changes else 0, PAGE, encoder):
        changes.extend(page)
    return changes


def plain_requests(as_of: Doubles, exclude_seen: bool, candidates: int) -> CandidateRequest:
    """Requests as of these instants [B], without filters, domains or exclusions, for so many candidates each."""
    users = len(as_of)
    anything = np.full(users, "", dtype=np.object_)
    return CandidateRequest(
        count=np.full(users, candidates),
        created_until=as_of,
        exclude_seen=np.full(users, exclude_seen),
        exclude_offsets=np.zeros(users + 1, dtype=np.int64),
        exclude_item=np.zeros(0, dtype=np.int64),
        domain=anything,
        language=anything,
        filter=anything,
        given=np.zeros(users, dtype=np.bool_),
        given_offsets=np.zeros(users + 1, dtype=np.int64),
        given_item=np.zeros(0, dtype=np.int64),
    )


def evaluate_offline(reader: StoreReader, stages: OfflineStages, task: Task, k: int = 10) -> Metrics:
    """Metrics at k of a task, user by user as of the task's instants; all data come from `reader`."""
    view = stages.catalogue.view()
    rows = [view.row_of_id(item_id) for item_id in task.relevant_ids]
    absent = len(view)  # above every row: relevant, but never found
    relevant = np.array([absent if row is None else row for row in rows], dtype=np.int64)
    return ranking_metrics(offline_lists(reader, stages, task, k), task.relevant_offsets, relevant, k)


def offline_lists(reader: StoreReader, stages: OfflineStages, task: Task, k: int) -> Longs:
    """Catalogue rows int64 [users, k] for a task, best first, padded with -1."""
    view = stages.catalogue.view()
    lists = [np.zeros((0, k), dtype=np.int64)]
    for start in range(0, len(task.user_ids), USERS_AT_ONCE):
        part = slice(start, start + USERS_AT_ONCE)
        profiles = reader.profiles_as_of(task.user_ids[part], task.as_of[part].tolist())
        ranked = stages.recommend(profiles, task.as_of[part], k, task.exclude_seen)
        lists.append(view.rows(padded_ranking(ranked.ranked_offsets, ranked.ranked_item, k)))
    return np.concatenate(lists)


def events_of_known_items(events: EventColumns, view: CatalogueView) -> EventColumns:
    """The events whose item is in the catalogue."""
    return events.where(view.rows(events.item_key) >= 0)


def candidate_labels(candidates: CandidateBatch, wanted_offsets: Longs, wanted: Longs) -> Floats:
    """1 for the candidates that their user then wanted, otherwise 0; float32 [N]."""
    stride = int(max(candidates.candidate_item.max(initial=0), wanted.max(initial=0))) + 1
    users = np.arange(len(wanted_offsets) - 1)
    offered = np.repeat(users, np.diff(candidates.candidate_offsets)) * stride + candidates.candidate_item
    return np.isin(offered, np.repeat(users, np.diff(wanted_offsets)) * stride + wanted).astype(np.float32)

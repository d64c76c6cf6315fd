"""Interest lookup, candidate retrieval and reranking as models: named arrays in, named arrays out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from interest.batch import Tensors, UserBatch, UserRequest
from interest.fold import with_history
from interest.lookup import InterestLookup
from interest.profile import InterestProfile
from interest.store.protocol import EventColumns, ItemChange
from ranking.batch import CandidateBatch, CandidateRequest, ListWishes
from ranking.boosting import Boosts
from ranking.item_statistics import ItemStatistics
from ranking.model_retriever import make_retriever
from ranking.retriever import Retriever
from ranking.retriever_settings import settings_of
from serve.stages.replica import ReleaseReplica

if TYPE_CHECKING:
    from ranking.reranker import Reranker

READABLE_INTERESTS = 24  # readable facets that travel with a ranking, for prompts, explanations and the API


class InterestStage(ReleaseReplica):
    """Reads profiles straight from SQL and caches none, so the next request anywhere sees the last event."""

    name = "interest"
    _lookup: InterestLookup | None = None

    def _load(self) -> None:
        self._lookup = InterestLookup(self.interest_model(), self.catalogue)

    def _infer(self, tensors: Tensors) -> Tensors:
        assert self._lookup is not None
        asked = UserRequest.from_tensors(tensors)
        profiles = with_history(self._profiles(asked.user_id.tolist(), asked.as_of), asked)
        users = self._lookup.lookup(profiles, asked.now)
        readable = self._lookup.readable(profiles, users, READABLE_INTERESTS)
        interests = np.empty(len(profiles), dtype=object)
        interests[:] = [tuple((f.kind, f.name, weight, declared) for f, weight, declared in row) for row in readable]
        return {
            **users.to_tensors(),
            "reply_interests": interests,
            "reply_events": np.array([profile.events for profile in profiles], dtype=np.int64),
            "reply_known": np.array([bool(profile.events or profile.declared) for profile in profiles]),
            "reply_updated_at": np.array([profile.updated_at for profile in profiles]),
        }

    def _apply_all(self, changes: Sequence[ItemChange], events: EventColumns | None) -> None:
        super()._apply_all(changes, events)
        if self._lookup is not None:
            self._lookup.follow()  # here, in the follower's thread, so that no request has to

    def _profiles(
        self, user_ids: Sequence[str], as_of: np.ndarray[tuple[int], np.dtype[np.float64]]
    ) -> list[InterestProfile]:
        """Live profiles, or as they were: a batch may mix both."""
        live = np.isnan(as_of)
        if live.all():
            return self.reader.profiles(user_ids)
        past = np.flatnonzero(~live)
        found = dict(
            zip(
                past.tolist(),
                self.reader.profiles_as_of([user_ids[i] for i in past], as_of[past].tolist()),
                strict=True,
            )
        )
        present = np.flatnonzero(live).tolist()
        found |= zip(present, self.reader.profiles([user_ids[i] for i in present]), strict=True)
        return [found[i] for i in range(len(user_ids))]


class RetrieverStage(ReleaseReplica):
    """The union of the candidate sources; its indexes follow the catalogue."""

    name = "retriever"
    _retriever: Retriever | None = None

    def _load(self) -> None:
        settings = settings_of(self.repository, self.release)
        self._retriever = make_retriever(self.catalogue, self.popularity, self.interest_model(), settings)

    def _infer(self, tensors: Tensors) -> Tensors:
        assert self._retriever is not None
        users, requests = UserBatch.from_tensors(tensors), CandidateRequest.from_tensors(tensors)
        return self._retriever.retrieve(users, requests, Boosts.from_tensors(tensors)).to_tensors()

    def _apply_all(self, changes: Sequence[ItemChange], events: EventColumns | None) -> None:
        if self._retriever is None:
            super()._apply_all(changes, events)
        else:
            self._retriever.apply(changes, events)


class RerankerStage(ReleaseReplica):
    """Scores candidates with the learned ranker, or by the stated rule when the release has none."""

    name = "reranker"
    _reranker: "Reranker"

    def _load(self) -> None:
        # These bring a compiler of a hundred megabytes, which the interest stage does without.
        from ranking.diversity import compile_ahead
        from ranking.reranker import Reranker

        statistics = ItemStatistics.of(self.interest_model(), self.catalogue.view())
        self._reranker = Reranker(None, self.popularity, statistics)
        if "reranker" in self.release.models:
            version = self.repository.open_version("reranker", self.release.models["reranker"])
            self._reranker = Reranker.load(version.folder, self.popularity, statistics)
        compile_ahead()

    def _infer(self, tensors: Tensors) -> Tensors:
        users, candidates = UserBatch.from_tensors(tensors), CandidateBatch.from_tensors(tensors)
        wishes, boosts = ListWishes.from_tensors(tensors), Boosts.from_tensors(tensors)
        view = self.catalogue.view()
        return self._reranker.rank(users, candidates, tensors["wanted"], view, wishes, boosts).to_tensors()

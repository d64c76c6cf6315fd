"""The batches between retriever and reranker; the conventions are those of `interest.batch`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import ArrayBatch, Doubles, Floats, Longs


@dataclass(frozen=True, slots=True)
class CandidateRequest(ArrayBatch):
    """What each of B requests asks of the retriever beside the user."""

    count: Longs  # [B] candidates wanted; fewer only when fewer are eligible
    created_until: Doubles  # [B] unix seconds: items created later do not exist yet; inf for live requests
    exclude_seen: npt.NDArray[np.bool_]  # [B] leave out every item of the user's behaviour (impressions excepted)
    exclude_offsets: Longs  # [B + 1]
    exclude_item: Longs  # item keys
    domain: npt.NDArray[np.object_]  # [B] str, "" = any
    language: npt.NDArray[np.object_]  # [B] str, "" = any
    filter: npt.NDArray[np.object_]  # [B] str filter expression, "" = none
    given: npt.NDArray[np.bool_]  # [B] the candidates are these, whatever the rest of the request says
    given_offsets: Longs  # [B + 1]
    given_item: Longs  # item keys


@dataclass(frozen=True, slots=True)
class CandidateBatch(ArrayBatch):
    """The union of the sources for B users, ordered by item key within a user."""

    candidate_offsets: Longs  # [B + 1]
    candidate_item: Longs  # item keys
    candidate_score: Floats  # [N, len(SCORES)], NaN where undefined


@dataclass(frozen=True, slots=True)
class RankedBatch(ArrayBatch):
    """Best first, ties by lower item key, unless a request wished otherwise; at most the wanted count per user."""

    ranked_offsets: Longs  # [B + 1]
    ranked_item: Longs  # item keys
    ranked_score: Floats  # [N] the reranker's score
    ranked_parts: Floats  # [N, len(SCORES)] the source scores of each
    ranked_propensity: Doubles  # [N] probability of this item at this place, given those above it


@dataclass(frozen=True, slots=True)
class ListWishes(ArrayBatch):
    """What each of B requests asks of its list beside its length; all zeros leave the order of the scores."""

    diversity: Doubles  # [B] 0 to 1
    calibration: Doubles  # [B] 0 to 1
    explore_epsilon: Doubles  # [B] chance that a place is drawn; 0: no exploration
    explore_from: Longs  # [B] places before it, from 0, are never drawn
    explore_depth: Longs  # [B] draws are from the best so many candidates
    explore_seed: npt.NDArray[np.uint64]  # [B]


def plain_wishes(users: int) -> ListWishes:
    """The best scores first, nothing else."""
    zeros, none = np.zeros(users), np.zeros(users, dtype=np.int64)
    return ListWishes(zeros, zeros, zeros, none, none, none.astype(np.uint64))

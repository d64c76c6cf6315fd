"""Which items a request may be shown: masks shared by equal requests, exclusions of each user."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Longs, UserBatch, ragged_offsets
from interest.catalogue import CatalogueView
from interest.events import EVENT_CODES, EventType
from ranking.batch import CandidateRequest
from ranking.filters import FilterMasks
from ranking.recent import Recent

Mask = npt.NDArray[np.bool_]

UNSEEN_CODES = [EVENT_CODES[EventType.IMPRESSION], EVENT_CODES[EventType.SKIP]]  # do not count as seen
REFUSED_CODES = [EVENT_CODES[EventType.HIDE], EVENT_CODES[EventType.DISLIKE]]  # never shown again
CACHED_GROUPS = 64
CACHED_VIEWS = 2  # a batch under way beside the first one of a newer view


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of a batch for which the same items are eligible, before each user's own exclusions."""

    members: list[int]  # rows of the batch
    eligible: Mask  # by item key
    keys: Longs  # the eligible item keys, ascending


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Item keys that each of B users must not get, ascending and without repeats within a user."""

    offsets: Longs  # [B + 1]
    keys: Longs

    def of(self, user: int) -> Longs:
        """The keys of one user of the batch."""
        return self.keys[self.offsets[user] : self.offsets[user + 1]]

    def among(self, members: list[int]) -> "Exclusions":
        """The exclusions of these users, in this order; a user may occur several times."""
        parts = [self.of(user) for user in members]
        keys = np.concatenate(parts) if parts else self.keys[:0]
        return Exclusions(ragged_offsets([len(part) for part in parts]), keys)


class Eligibility:
    """Makes and keeps the masks; they follow the catalogue by its version."""

    def __init__(self) -> None:
        self._filters = FilterMasks()
        self._masks: Recent[tuple[int, str, str, str, int], tuple[Mask, Longs]] = Recent(CACHED_GROUPS)
        self._created: Recent[int, Doubles] = Recent(CACHED_VIEWS)

    def groups(self, view: CatalogueView, requests: CandidateRequest) -> Iterator[Group]:
        """One group per distinct domain, language, filter and set of items that exist for the request.

        Raises `InvalidRequest` for a bad filter, and with it the batch: compile filters before requests are batched.
        """
        created = self._created.get_or_make(view.version, lambda: _sorted_dates(view))
        existing = np.searchsorted(created, requests.created_until, side="right")
        members: dict[tuple[str, str, str, int], list[int]] = {}
        for user in range(len(requests.count)):
            text = (str(requests.domain[user]), str(requests.language[user]), str(requests.filter[user]))
            members.setdefault((*text, int(existing[user])), []).append(user)
        for key, rows in members.items():
            held = self._masks.get((view.version, *key))
            if held is None:
                domain, language, expression, _ = key
                made = self._mask(view, domain, language, expression, float(requests.created_until[rows[0]]))
                held = self._masks.put((view.version, *key), made)
            yield Group(rows, *held)

    def _mask(
        self, view: CatalogueView, domain: str, language: str, expression: str, until: float
    ) -> tuple[Mask, Longs]:
        rows = view.available & ~(view.created_at > until)
        if domain:
            rows = rows & (view.domain == view.domain_code(domain))
        if language:
            rows = rows & (view.language == view.language_code(language))
        if expression:
            rows = rows & self._filters.of(expression, view)
        keys = np.sort(view.keys[rows])
        eligible = np.zeros(len(view.row_of_key), dtype=bool)
        eligible[keys] = True
        return eligible, keys


def _sorted_dates(view: CatalogueView) -> Doubles:
    """Known unix seconds of creation, ascending."""
    return np.sort(view.created_at[~np.isnan(view.created_at)])


def exclusions(users: UserBatch, requests: CandidateRequest) -> Exclusions:
    """What each user asked to leave out, hid or disliked, and with `exclude_seen` everything they have dealt with."""
    count = len(users.now)
    owner = np.repeat(np.arange(count), np.diff(users.behaviour_offsets))
    refused = np.isin(users.behaviour_type, REFUSED_CODES)
    seen = ~np.isin(users.behaviour_type, UNSEEN_CODES)
    left_out = refused | (requests.exclude_seen[owner] & seen)
    owners = np.concatenate([owner[left_out], np.repeat(np.arange(count), np.diff(requests.exclude_offsets))])
    keys = np.concatenate([users.behaviour_item[left_out], requests.exclude_item])
    order = np.lexsort((keys, owners))
    owners, keys = owners[order], keys[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = (keys[1:] != keys[:-1]) | (owners[1:] != owners[:-1])
    lengths = np.bincount(owners[first], minlength=count)
    return Exclusions(ragged_offsets(lengths), keys[first])

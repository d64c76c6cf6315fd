"""The fold: records of the log into profiles, in any order and any split, for one user or many at once."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from interest.batch import Longs, UserRequest
from interest.events import EVENT_CODES, EventType, Facet, InterestEdit
from interest.features import detect_language, facet_hash, keywords
from interest.profile import (
    HALF_LIVES_S,
    Behaviour,
    Declaration,
    InterestProfile,
    behaviour_of_events,
    concatenated,
    reduce_behaviour,
    sliced,
)

KEYWORD_HALF_LIFE_S = HALF_LIVES_S[1]
MAX_COMMENT_KEYWORDS = 32  # of one comment, its first ones

Keywords = dict[str, tuple[float, float]]
Version = tuple[float, str]  # (timestamp, record_id): the later of two edits has the greater one
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class FoldEvent:
    """What the fold needs of an event; `event_type` is its code, `timestamp` unix seconds."""

    item_key: int
    event_type: int
    timestamp: float
    value: float | None = None
    text: str = ""


FoldRecord = FoldEvent | InterestEdit


@dataclass(frozen=True, slots=True)
class EventRows:
    """Events of several users as columns of n rows, in any order."""

    user: Longs  # position of the user in the call
    item_key: Longs
    event_type: npt.NDArray[np.int8]
    timestamp: npt.NDArray[np.float64]  # unix seconds
    value: npt.NDArray[np.float64]  # NaN when the event has none
    text: Sequence[str]


def fold(profile: InterestProfile, records: Iterable[FoldRecord]) -> InterestProfile:
    """The profile after these records too. Order and split do not matter; each record must be given only once."""
    held = list(records)
    events = [record for record in held if isinstance(record, FoldEvent)]
    rows = EventRows(
        user=np.zeros(len(events), dtype=np.int64),
        item_key=np.array([event.item_key for event in events], dtype=np.int64),
        event_type=np.array([event.event_type for event in events], dtype=np.int8),
        timestamp=np.array([event.timestamp for event in events], dtype=np.float64),
        value=np.array([np.nan if event.value is None else event.value for event in events], dtype=np.float64),
        text=[event.text for event in events],
    )
    return fold_many([profile], rows, [(0, record) for record in held if isinstance(record, InterestEdit)])[0]


def with_history(profiles: Sequence[InterestProfile], asked: UserRequest) -> list[InterestProfile]:
    """The B profiles, with each request's own history folded in; those without any are left as they are."""
    owner = np.repeat(np.arange(len(profiles)), np.diff(asked.history_offsets))
    told, user = np.unique(owner, return_inverse=True)
    if not len(told):
        return list(profiles)
    rows = EventRows(
        user=user,
        item_key=asked.history_item,
        event_type=asked.history_type,
        timestamp=asked.history_at,
        value=asked.history_value,
        text=[""] * len(owner),
    )
    folded = dict(zip(told.tolist(), fold_many([profiles[row] for row in told], rows, []), strict=True))
    return [folded.get(row, profile) for row, profile in enumerate(profiles)]


def fold_many(
    profiles: Sequence[InterestProfile], rows: EventRows, edits: Iterable[tuple[int, InterestEdit]]
) -> list[InterestProfile]:
    """`fold` for B users in one pass; `rows.user` and the integers of `edits` are positions in `profiles`."""
    behaviours = _merged(profiles, rows)
    counts = np.bincount(rows.user, minlength=len(profiles)).tolist()
    newest = np.array([profile.updated_at for profile in profiles], dtype=np.float64)
    np.maximum.at(newest, rows.user, rows.timestamp)
    comments = _by_user(_comments(rows))
    changes = _by_user(edits)
    folded = []
    for user, profile in enumerate(profiles):
        own = changes.get(user, [])
        declared, cleared = _edited(profile, own)
        folded.append(
            InterestProfile(
                user_id=profile.user_id,
                behaviour=behaviours[user],
                declared=declared,
                cleared=cleared,
                keywords=_commented(profile.keywords, comments.get(user, [])),
                events=profile.events + counts[user],
                updated_at=max([float(newest[user]), *(edit.timestamp for edit in own)]),
            )
        )
    return folded


def _merged(profiles: Sequence[InterestProfile], rows: EventRows) -> list[Behaviour]:
    parts = [profile.behaviour for profile in profiles]
    parts.append(behaviour_of_events(rows.item_key, rows.event_type, rows.timestamp, rows.value))
    held = np.repeat(np.arange(len(profiles)), [len(part.item_key) for part in parts[:-1]])
    user, merged = reduce_behaviour(np.concatenate([held, rows.user]), concatenated(parts))
    bounds = np.searchsorted(user, np.arange(len(profiles) + 1)).tolist()
    return [sliced(merged, slice(start, end)) for start, end in pairwise(bounds)]


def _by_user(entries: Iterable[tuple[int, Entry]]) -> dict[int, list[Entry]]:
    grouped: dict[int, list[Entry]] = defaultdict(list)
    for user, entry in entries:
        grouped[user].append(entry)
    return grouped


def _comments(rows: EventRows) -> list[tuple[int, tuple[float, str]]]:
    comments = np.flatnonzero(rows.event_type == EVENT_CODES[EventType.COMMENT]).tolist()
    return [(int(rows.user[row]), (float(rows.timestamp[row]), rows.text[row])) for row in comments if rows.text[row]]


def _commented(held: Keywords, comments: Sequence[tuple[float, str]]) -> Keywords:
    """Decayed sums of the keywords, each referred to its own latest comment."""
    if not comments:
        return held
    total = dict(held)
    for timestamp, text in comments:
        for keyword in keywords(text, detect_language(text))[:MAX_COMMENT_KEYWORDS]:
            decayed, last_at = total.get(keyword, (0.0, timestamp))
            latest = max(last_at, timestamp)
            total[keyword] = (_aged(decayed, latest - last_at) + _aged(1.0, latest - timestamp), latest)
    return total


def _aged(weight: float, age_s: float) -> float:
    return weight * float(np.exp2(-age_s / KEYWORD_HALF_LIFE_S))


def _edited(profile: InterestProfile, edits: Sequence[InterestEdit]) -> tuple[dict[Facet, Declaration], Version | None]:
    """Last writer wins per facet; a replacing edit forgets every declaration older than itself.

    Two spellings of one facet are one: the later edit's is shown.
    """
    if not edits:
        return profile.declared, profile.cleared
    latest = {facet_hash(facet.kind, facet.name): (facet, found) for facet, found in profile.declared.items()}
    for edit in edits:
        for facet, weight in edit.facets:
            hashed = facet_hash(facet.kind, facet.name)
            known = latest.get(hashed)
            if known is None or _version(edit) >= (known[1].timestamp, known[1].record_id):
                latest[hashed] = (facet, Declaration(weight, edit.timestamp, edit.record_id))
    replaced = [_version(edit) for edit in edits if edit.replace]
    cleared = max([*replaced, *([profile.cleared] if profile.cleared else [])], default=None)
    kept = [
        entry for entry in latest.values() if cleared is None or (entry[1].timestamp, entry[1].record_id) >= cleared
    ]
    return dict(sorted(kept, key=lambda entry: (entry[0].kind, entry[0].name))), cleared


def _version(edit: InterestEdit) -> Version:
    return edit.timestamp, edit.record_id

"""What the rest of Attune asks of its database: one writer, readers anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from interest.events import Event, EventType, Record
from interest.items import Item
from interest.profile import InterestProfile

IMPORTED_UNTIL = "imported_until"  # meta: time of the newest imported event, unix seconds; what the clock starts from


@dataclass(frozen=True, slots=True)
class AppendResult:
    """How many records were new, and how many were repeats of ones already held (same id, same body)."""

    accepted: int
    duplicates: int
    seq: int  # sequence number of the log after this write


@dataclass(frozen=True, slots=True)
class PutResult:
    """How many items this write itself inserted or changed; other writers' changes move `seq` but are not in it."""

    changed: int
    seq: int  # sequence number of the log after this write


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """What an erasure removed; `receipt_id` names the log record that says so."""

    receipt_id: str
    events: int
    edits: int
    impressions: int


@dataclass(frozen=True, slots=True)
class ItemChange:
    """The newest state of one item: `item` is None once it is deleted."""

    seq: int
    item_key: int
    item_id: str
    item: Item | None
    embedding: npt.NDArray[np.float32] | None  # [E] in the space of `encoder`, None when not encoded yet
    encoder: str  # "" without an embedding


@dataclass(frozen=True, slots=True)
class EventColumns:
    """A stretch of the event log in log order, as columns of n rows."""

    seq: npt.NDArray[np.int64]
    user_key: npt.NDArray[np.int64]
    item_key: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int8]
    timestamp: npt.NDArray[np.float64]  # unix seconds
    value: npt.NDArray[np.float64]  # NaN when the event has none

    def where(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "EventColumns":
        """The events marked in `kept` [n], or at these places in this order."""
        return EventColumns(*(getattr(self, column.name)[kept] for column in fields(self)))


class Impression(msgspec.Struct, frozen=True, kw_only=True):
    """One item as it was shown, so that feedback joins exactly that."""

    recommendation_id: str
    user_id: str
    item_id: str
    position: int
    timestamp: float  # by the server's one clock
    requested_at: float  # by the wall clock: an erasure after it takes the impression along
    score: float
    propensity: float
    release: str
    text: str = ""
    source: str = ""  # model | template | ""
    origin: str = ""  # what the model wrote the text from, packed by whoever asked it; "" where no model wrote one


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A whole ranking as it was made for one recommendation, for the pages after the first. Times: the wall clock's."""

    recommendation_id: str
    user_id: str
    requested_at: float  # an erasure after it takes the snapshot along
    expires_at: float
    body: bytes  # packed by whoever made the ranking


class EvaluationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where one evaluation stands; whoever computes it shows by `heartbeat_at` that it still does."""

    evaluation_id: str
    heartbeat_at: float  # unix seconds of the wall clock
    body: str  # JSON


class StoreReader(Protocol):
    """Reads committed state directly from SQL; any process may hold one. Thread-safe."""

    def profiles(self, user_ids: Sequence[str], as_of: float | None = None) -> list[InterestProfile]:
        """One profile a user, in order; an empty one for an unknown user. With `as_of`: of records up to that time."""

    def profiles_as_of(self, user_ids: Sequence[str], as_of: Sequence[float]) -> list[InterestProfile]:
        """`profiles` with an instant (unix seconds, inclusive) for each user; a user may be asked for several times."""

    def events_of(self, user_id: str, limit: int = 100) -> list[Event]:
        """The user's events, newest first by timestamp; none for an unknown user."""

    def impressions_of(self, recommendation_id: str) -> list[Impression]:
        """What one recommendation showed, by position; empty when it is unknown."""

    def ranking_snapshot(self, recommendation_id: str) -> Snapshot | None:
        """The ranking behind one recommendation; None when it is unknown or deleted. May have expired."""

    def evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        """The newest record of one evaluation; None when it is unknown."""

    def last_impression_at(self) -> float | None:
        """Time of the newest impression by the server's clock, unix seconds; None when nothing was shown yet."""

    def impressions_since(self, since: float) -> list[Impression]:
        """Everything shown from `since` (unix seconds) on, without its texts, by time, recommendation and position."""

    def texts_since(self, since: float) -> list[Impression]:
        """Those of `impressions_since` whose text a model wrote, with text and origin."""

    def pseudonym(self, user_id: str) -> str:
        """32 hex digits that stand for this user in this database, and tell nobody who it is without its key."""

    def events_since(self, since: float, types: Sequence[EventType]) -> list[Event]:
        """The events of these types whose time is at least `since` (unix seconds), by time."""

    def item(self, item_id: str) -> Item | None:
        """The newest state of one item; None when it is unknown or deleted."""

    def item_changes(self, after_seq: int, limit: int = 10_000, encoder: str = "") -> list[ItemChange]:
        """Items changed after `after_seq`, by ascending seq, each once with its newest state.

        Embeddings come along for the `encoder` named, and for none without a name.
        """

    def items_without_embedding(self, encoder: str, limit: int) -> list[ItemChange]:
        """Living items that this encoder has not encoded yet, by ascending key."""

    def event_columns(self, after_seq: int = 0, limit: int | None = None) -> EventColumns:
        """Events logged after `after_seq`, by ascending seq."""

    def user_ids(self, limit: int | None = None) -> list[str]:
        """Ids of users with at least one record, ascending."""

    def user_keys(self, user_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """The integers that stand for these users in `event_columns`; -1 where unknown."""

    def last_event_at(self) -> float | None:
        """Time of the newest event by timestamp, unix seconds; None for an empty log."""

    def log_seq(self) -> int:
        """Sequence number of the log: every change up to it is visible to this reader."""

    def wanted_release(self) -> str | None:
        """The release that every replica should serve."""

    def counts(self) -> dict[str, int]:
        """Rows of: items, users, events, impressions."""

    def get_meta(self, key: str) -> str | None:
        """A setting kept with the data (split, clock, importer), None when absent."""

    def close(self) -> None: ...


class StoreWriter(Protocol):
    """The one owner of every write. Each call is one durable transaction. Not thread-safe."""

    def append(self, records: Sequence[Record]) -> AppendResult:
        """Log and fold, all or nothing. The same id with another body raises `ConflictingWrite`."""

    def put_items(self, items: Sequence[Item], embeddings: npt.NDArray[np.float32] | None, encoder: str) -> PutResult:
        """Insert or replace. An unchanged item keeps its sequence number and is not counted."""

    def delete_items(self, item_ids: Sequence[str]) -> int:
        """Mark deleted; returns how many existed."""

    def set_embeddings(
        self, encoded: Sequence[tuple[str, int]], embeddings: npt.NDArray[np.float32], encoder: str
    ) -> int:
        """Attach content embeddings to stored items, beside those of other encoders; returns the new sequence number.

        `encoded` holds the id and the seq of the change that was encoded: an item that changed since is left out.
        """

    def keep_embeddings(self, encoders: Sequence[str]) -> int:
        """Forget the embeddings of all other encoders; returns how many there were."""

    def erase_user(self, user_id: str) -> ErasureReceipt:
        """Remove everything about a user; the ids of their events stay as keyed hashes and are never accepted again."""

    def log_impressions(self, impressions: Sequence[Impression]) -> None:
        """Write down what was shown, except to users erased since they asked."""

    def keep_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep rankings, except of users erased since they asked; deletes those that have expired by now."""

    def put_evaluation(self, record: EvaluationRecord) -> None:
        """Insert or replace."""

    def set_wanted_release(self, name: str) -> int: ...

    def set_meta(self, key: str, value: str) -> None: ...

    def close(self) -> None: ...

"""SqlReader: committed state straight from SQL, for any thread of any process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, bindparam, func, select

from interest.errors import NotReady
from interest.events import EVENT_CODES, Event, EventType
from interest.items import Item
from interest.profile import InterestProfile, empty_profile
from interest.profile_codec import decode
from interest.store.protocol import EvaluationRecord, EventColumns, Impression, ItemChange, Snapshot
from interest.store.rows import change_of, chunks, evaluation_of, event_of, impression_of, item_of, snapshot_of
from interest.store.schema import (
    embeddings,
    evaluations,
    events,
    impressions,
    items,
    meta,
    snapshots,
    text_origins,
    users,
)
from interest.store.sql_history import profiles_as_of, user_keys
from interest.store.transaction import check_schema, keyed_hash, stored_counters, stored_hash_key

_PROFILES = select(users.c.user_id, users.c.profile).where(users.c.user_id.in_(bindparam("ids", expanding=True)))
_ENCODED = (embeddings.c.item_key == items.c.item_key) & (embeddings.c.encoder == bindparam("encoder"))
_CHANGES = (
    select(items, embeddings.c.vector)
    .outerjoin(embeddings, _ENCODED)
    .where(items.c.seq > bindparam("after"))
    .order_by(items.c.seq)
    .limit(bindparam("most"))
)
_SNAPSHOT = select(snapshots).where(snapshots.c.recommendation_id == bindparam("of_recommendation"))
_EVALUATION = select(evaluations).where(evaluations.c.evaluation_id == bindparam("wanted"))
_COLUMNS = (
    select(events.c.seq, events.c.user_key, events.c.item_key, events.c.event_type, events.c.timestamp, events.c.value)
    .where(events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
)
_EVENTS_OF = (
    select(events, items.c.item_id)
    .join(users, users.c.user_key == events.c.user_key)
    .join(items, items.c.item_key == events.c.item_key)
    .where(users.c.user_id == bindparam("of_user"))
    .order_by(events.c.timestamp.desc(), events.c.seq.desc())
    .limit(bindparam("most"))
)
_IMPRESSIONS_OF = (
    select(impressions)
    .where(impressions.c.recommendation_id == bindparam("of_recommendation"))
    .order_by(impressions.c.position)
)
_LAST_IMPRESSION = select(func.max(impressions.c.timestamp))
_IMPRESSIONS_SINCE = (
    select(*(column for column in impressions.c if column.name not in ("text", "source")))
    .where(impressions.c.timestamp >= bindparam("since"))
    .order_by(impressions.c.timestamp, impressions.c.recommendation_id, impressions.c.position)
)
_TEXTS_SINCE = (
    select(impressions, text_origins.c.origin)
    .join(
        text_origins,
        (text_origins.c.recommendation_id == impressions.c.recommendation_id)
        & (text_origins.c.position == impressions.c.position),
    )
    .where(impressions.c.timestamp >= bindparam("since"))
    .order_by(impressions.c.timestamp, impressions.c.recommendation_id, impressions.c.position)
)
_EVENTS_SINCE = (
    select(events, items.c.item_id, users.c.user_id)
    .join(users, users.c.user_key == events.c.user_key)
    .join(items, items.c.item_key == events.c.item_key)
    .where(events.c.timestamp >= bindparam("since"), events.c.event_type.in_(bindparam("types", expanding=True)))
    .order_by(events.c.timestamp, events.c.seq)
)
_ITEM = select(items.c.body).where(
    items.c.item_id == bindparam("wanted"), items.c.body.is_not(None), items.c.deleted.is_(False)
)
_META = select(meta.c.value).where(meta.c.key == bindparam("wanted"))
_LIVING = (items.c.body.is_not(None), items.c.deleted.is_(False))
_NOT_ENCODED = (
    select(items, embeddings.c.vector)
    .outerjoin(embeddings, _ENCODED)
    .where(*_LIVING, embeddings.c.item_key.is_(None))
    .order_by(items.c.item_key)
    .limit(bindparam("most"))
)


class SqlReader:
    """Implements `StoreReader`. Every call sees one committed state of the database."""

    def __init__(self, engine: Engine) -> None:
        """Raises `NotReady` when the tables are not there yet, `InvalidConfig` when they are of another version."""
        self._engine = engine
        with self._snapshot() as connection:
            if not engine.dialect.has_table(connection, meta.name):
                raise NotReady("store: its tables have not been made yet")
            check_schema(connection)

    def profiles(self, user_ids: Sequence[str], as_of: float | None = None) -> list[InterestProfile]:
        if as_of is not None:
            return self.profiles_as_of(user_ids, [as_of] * len(user_ids))
        held: dict[str, InterestProfile] = {}
        with self._snapshot() as connection:
            for part in chunks(user_ids):
                rows = connection.execute(_PROFILES, {"ids": part}).all()
                held.update({user_id: decode(user_id, blob) for user_id, blob in rows})
        return [held.get(user_id) or empty_profile(user_id) for user_id in user_ids]

    def profiles_as_of(self, user_ids: Sequence[str], as_of: Sequence[float]) -> list[InterestProfile]:
        assert len(user_ids) == len(as_of), "one instant a user"
        with self._snapshot() as connection:
            return profiles_as_of(connection, user_ids, as_of)

    def events_of(self, user_id: str, limit: int = 100) -> list[Event]:
        with self._snapshot() as connection:
            rows = connection.execute(_EVENTS_OF, {"of_user": user_id, "most": limit}).all()
        return [event_of(row, user_id) for row in rows]

    def impressions_of(self, recommendation_id: str) -> list[Impression]:
        with self._snapshot() as connection:
            rows = connection.execute(_IMPRESSIONS_OF, {"of_recommendation": recommendation_id}).all()
        return [impression_of(row) for row in rows]

    def ranking_snapshot(self, recommendation_id: str) -> Snapshot | None:
        with self._snapshot() as connection:
            row = connection.execute(_SNAPSHOT, {"of_recommendation": recommendation_id}).one_or_none()
        return None if row is None else snapshot_of(row)

    def evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        with self._snapshot() as connection:
            row = connection.execute(_EVALUATION, {"wanted": evaluation_id}).one_or_none()
        return None if row is None else evaluation_of(row)

    def last_impression_at(self) -> float | None:
        with self._snapshot() as connection:
            newest: float | None = connection.execute(_LAST_IMPRESSION).scalar()
            return newest

    def impressions_since(self, since: float) -> list[Impression]:
        with self._snapshot() as connection:
            rows = connection.execute(_IMPRESSIONS_SINCE, {"since": since}).all()
        return [impression_of(row) for row in rows]

    def texts_since(self, since: float) -> list[Impression]:
        with self._snapshot() as connection:
            if not self._engine.dialect.has_table(connection, text_origins.name):
                return []  # no server of this version has written here yet
            rows = connection.execute(_TEXTS_SINCE, {"since": since}).all()
        return [impression_of(row) for row in rows]

    def pseudonym(self, user_id: str) -> str:
        with self._snapshot() as connection:
            return keyed_hash(stored_hash_key(connection), "pseudonym", user_id).hex()

    def events_since(self, since: float, types: Sequence[EventType]) -> list[Event]:
        wanted = {"since": since, "types": [EVENT_CODES[event_type] for event_type in types]}
        with self._snapshot() as connection:
            rows = connection.execute(_EVENTS_SINCE, wanted).all()
        return [event_of(row, row.user_id) for row in rows]

    def item(self, item_id: str) -> Item | None:
        with self._snapshot() as connection:
            body: str | None = connection.execute(_ITEM, {"wanted": item_id}).scalar()
        return None if body is None else item_of(body)

    def item_changes(self, after_seq: int, limit: int = 10_000, encoder: str = "") -> list[ItemChange]:
        with self._snapshot() as connection:
            wanted = {"after": max(after_seq, 0), "most": limit, "encoder": encoder}
            rows = connection.execute(_CHANGES, wanted).all()
        return [change_of(row, encoder) for row in rows]

    def items_without_embedding(self, encoder: str, limit: int) -> list[ItemChange]:
        with self._snapshot() as connection:
            rows = connection.execute(_NOT_ENCODED, {"encoder": encoder, "most": limit}).all()
        return [change_of(row, encoder) for row in rows]

    def event_columns(self, after_seq: int = 0, limit: int | None = None) -> EventColumns:
        with self._snapshot() as connection:
            rows = connection.execute(_COLUMNS.limit(limit), {"after": after_seq}).all()
        seq, user_key, item_key, event_type, timestamp, value = zip(*rows, strict=True) if rows else ((),) * 6
        return EventColumns(
            seq=np.array(seq, dtype=np.int64),
            user_key=np.array(user_key, dtype=np.int64),
            item_key=np.array(item_key, dtype=np.int64),
            event_type=np.array(event_type, dtype=np.int8),
            timestamp=np.array(timestamp, dtype=np.float64),
            value=np.array(value, dtype=np.float64),  # None becomes NaN
        )

    def user_ids(self, limit: int | None = None) -> list[str]:
        with self._snapshot() as connection:
            return list(connection.execute(select(users.c.user_id).order_by(users.c.user_id).limit(limit)).scalars())

    def user_keys(self, user_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        with self._snapshot() as connection:
            keys = user_keys(connection, user_ids)
        return np.array([keys.get(user_id, -1) for user_id in user_ids], dtype=np.int64)

    def last_event_at(self) -> float | None:
        with self._snapshot() as connection:
            newest: float | None = connection.execute(select(func.max(events.c.timestamp))).scalar()
            return newest

    def log_seq(self) -> int:
        with self._snapshot() as connection:
            return stored_counters(connection).seq

    def wanted_release(self) -> str | None:
        return self.get_meta("wanted_release")

    def counts(self) -> dict[str, int]:
        with self._snapshot() as connection:
            living = select(func.count()).select_from(items).where(*_LIVING)
            found = {"items": connection.execute(living).scalar_one()}
            for table in (users, events, impressions):
                found[table.name] = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return found

    def get_meta(self, key: str) -> str | None:
        with self._snapshot() as connection:
            value: str | None = connection.execute(_META, {"wanted": key}).scalar()
            return value

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            yield connection

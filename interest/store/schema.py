"""The tables, in words that every SQL dialect knows.

One ascending `seq` numbers every change of the log: events, edits, erasures, items and the wanted release.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

SCHEMA_VERSION = "3"

metadata = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own row number is an INTEGER PRIMARY KEY

meta = Table("meta", metadata, Column("key", String, primary_key=True), Column("value", Text, nullable=False))

items = Table(
    "items",
    metadata,
    Column("item_key", _Key, primary_key=True, autoincrement=False),
    Column("item_id", String, nullable=False, unique=True),
    Column("seq", BigInteger, nullable=False),  # of its latest change; 0 while only events have named it
    Column("deleted", Boolean, nullable=False),
    Column("body", Text),  # JSON of interest.items.Item; NULL while only events have named it
    Index("items_by_seq", "seq"),
)

embeddings = (
    Table(  # of each encoder apart, so that a training run takes nothing from the release that serves meanwhile
        "embeddings",
        metadata,
        Column("item_key", ForeignKey("items.item_key"), primary_key=True, autoincrement=False),
        Column("encoder", String, primary_key=True),
        Column("vector", LargeBinary, nullable=False),  # little-endian float32
    )
)

users = Table(
    "users",
    metadata,
    Column("user_key", _Key, primary_key=True, autoincrement=False),
    Column("user_id", String, nullable=False, unique=True),
    Column("profile", LargeBinary, nullable=False),  # interest.profile_codec
    Column("updated_at", Double, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=False),
    Column("event_id", String, nullable=False, unique=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("user_key", ForeignKey("users.user_key"), nullable=False),
    Column("item_key", ForeignKey("items.item_key"), nullable=False),
    Column("event_type", SmallInteger, nullable=False),  # interest.events.EVENT_CODES
    Column("timestamp", Double, nullable=False),
    Column("value", Double),
    Column("text", Text, nullable=False),
    Column("session_id", String, nullable=False),
    Column("recommendation_id", String, nullable=False),
    Column("position", Integer),
    Column("received_at", Double, nullable=False),  # unix seconds of the wall clock
    Index("events_by_user", "user_key", "timestamp"),
    Index("events_by_time", "timestamp"),
)

edits = Table(
    "edits",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=False),
    Column("record_id", String, nullable=False, unique=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("user_key", ForeignKey("users.user_key"), nullable=False),
    Column("timestamp", Double, nullable=False),
    Column("replace", Boolean, nullable=False),
    Column("facets", Text, nullable=False),  # JSON
    Index("edits_by_user", "user_key", "timestamp"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=False),
    Column("receipt_id", String, nullable=False, unique=True),
    Column("user_hash", LargeBinary, nullable=False),  # keyed, as in erased_ids
    Column("erased_at", Double, nullable=False),  # unix seconds of the wall clock
    Column("events", Integer, nullable=False),
    Column("edits", Integer, nullable=False),
    Column("impressions", Integer, nullable=False),
    Index("erasures_by_user", "user_hash"),
)

erased_ids = Table("erased_ids", metadata, Column("id_hash", LargeBinary, primary_key=True))

impressions = Table(
    "impressions",
    metadata,
    Column("recommendation_id", String, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("user_id", String, nullable=False),
    Column("item_id", String, nullable=False),
    Column("timestamp", Double, nullable=False),
    Column("requested_at", Double, nullable=False),  # unix seconds of the wall clock
    Column("score", Double, nullable=False),
    Column("propensity", Double, nullable=False),
    Column("release", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("source", String, nullable=False),
    Index("impressions_by_user", "user_id"),
)

text_origins = Table(  # of impressions whose text a model wrote
    "text_origins",
    metadata,
    Column("recommendation_id", String, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("user_id", String, nullable=False),
    Column("origin", Text, nullable=False),  # JSON: serve.text_origin
    Index("text_origins_by_user", "user_id"),
)

snapshots = Table(  # of whole rankings, for the pages after the first; rows are deleted once they have expired
    "snapshots",
    metadata,
    Column("recommendation_id", String, primary_key=True),
    Column("user_id", String, nullable=False),
    Column("requested_at", Double, nullable=False),  # unix seconds of the wall clock
    Column("expires_at", Double, nullable=False),  # unix seconds of the wall clock
    Column("body", LargeBinary, nullable=False),  # serve.snapshots
    Index("snapshots_by_user", "user_id"),
    Index("snapshots_by_expiry", "expires_at"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("evaluation_id", String, primary_key=True),
    Column("heartbeat_at", Double, nullable=False),  # unix seconds of the wall clock, from whoever computes it
    Column("body", Text, nullable=False),  # JSON: how far it is, or what came out; serve.evaluations
)

"""Transaction: one write transaction, with the counters that number what it writes."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import msgspec
from sqlalchemy import Connection, Engine, bindparam, select, update

from interest.errors import InvalidConfig
from interest.store.dialect import insert_new
from interest.store.schema import SCHEMA_VERSION, meta, metadata

_COUNTERS = select(meta.c.value).where(meta.c.key == "counters")
_SET_COUNTERS = update(meta).where(meta.c.key == "counters").values(value=bindparam("counters"))
_GET = select(meta.c.value).where(meta.c.key == bindparam("wanted"))
_SET = update(meta).where(meta.c.key == bindparam("wanted")).values(value=bindparam("set_to"))


class Counters(msgspec.Struct, frozen=True):
    """The last number given out of each kind; `erased` counts the ids that stay dead."""

    seq: int = 0
    item_key: int = 0
    user_key: int = 0
    erased: int = 0


class Transaction:
    """Numbers are given out here and stored with the rows that bear them.

    Reading the counters locks their row where the dialect locks rows, so writers come one after the other.
    """

    def __init__(self, connection: Connection, hash_key: bytes) -> None:
        self.connection = connection
        self._hash_key = hash_key
        self._stored = stored_counters(connection, lock=True)
        self.counters = self._stored

    @property
    def seq(self) -> int:
        """Sequence number of the log so far."""
        return self.counters.seq

    def next_seqs(self, count: int) -> range:
        """`count` fresh sequence numbers."""
        first = self.counters.seq + 1
        self.counters = msgspec.structs.replace(self.counters, seq=self.counters.seq + count)
        return range(first, first + count)

    def next_item_keys(self, count: int) -> range:
        first = self.counters.item_key + 1
        self.counters = msgspec.structs.replace(self.counters, item_key=self.counters.item_key + count)
        return range(first, first + count)

    def next_user_keys(self, count: int) -> range:
        first = self.counters.user_key + 1
        self.counters = msgspec.structs.replace(self.counters, user_key=self.counters.user_key + count)
        return range(first, first + count)

    def count_erased(self, count: int) -> None:
        self.counters = msgspec.structs.replace(self.counters, erased=self.counters.erased + count)

    def keyed_hash(self, kind: str, text: str) -> bytes:
        """16 bytes that stand for a text without telling it, by BLAKE2 with this database's own key."""
        return keyed_hash(self._hash_key, kind, text)

    def get_meta(self, key: str) -> str | None:
        value: str | None = self.connection.execute(_GET, {"wanted": key}).scalar()
        return value

    def set_meta(self, key: str, value: str) -> None:
        if not self.connection.execute(_SET, {"wanted": key, "set_to": value}).rowcount:
            self.connection.execute(insert_new(self.connection, meta), {"key": key, "value": value})

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What happens inside happens whole or, when it raises, not at all; the transaction goes on either way."""
        before = self.counters
        try:
            with self.connection.begin_nested():
                yield
        except BaseException:
            self.counters = before
            raise

    def store_counters(self) -> None:
        """Write the counters down; the last thing before the commit."""
        if self.counters != self._stored:
            self.connection.execute(_SET_COUNTERS, {"counters": msgspec.json.encode(self.counters).decode()})


def keyed_hash(key: bytes, kind: str, text: str) -> bytes:
    """16 bytes that stand for a text of this kind, by BLAKE2."""
    return blake2b(f"{kind}\0{text}".encode(), key=key, digest_size=16).digest()


def stored_hash_key(connection: Connection) -> bytes:
    """This database's own key."""
    return bytes.fromhex(connection.execute(_GET, {"wanted": "hash_key"}).scalar_one())


def stored_counters(connection: Connection, lock: bool = False) -> Counters:
    """The counters as committed; `lock` keeps other writers waiting until this transaction ends."""
    query = _COUNTERS.with_for_update() if lock else _COUNTERS
    return msgspec.json.decode(connection.execute(query).scalar_one(), type=Counters)


def create_schema(engine: Engine) -> bytes:
    """Make the tables where they are missing; returns this database's hash key.

    Raises `InvalidConfig` when another version of the program made them, and adds none to those then.
    """
    with engine.begin() as connection:
        if engine.dialect.has_table(connection, meta.name):
            _refuse_other(connection.execute(_GET, {"wanted": "schema_version"}).scalar() or SCHEMA_VERSION)
    metadata.create_all(engine)
    with engine.begin() as connection:
        first = {"counters": msgspec.json.encode(Counters()).decode(), "hash_key": secrets.token_hex(32)}
        rows = [{"key": key, "value": value} for key, value in {**first, "schema_version": SCHEMA_VERSION}.items()]
        connection.execute(insert_new(connection, meta), rows)
        check_schema(connection)
        return stored_hash_key(connection)


def check_schema(connection: Connection) -> None:
    """Raises `InvalidConfig` unless the tables are of this program's version."""
    _refuse_other(connection.execute(_GET, {"wanted": "schema_version"}).scalar())


def _refuse_other(version: str | None) -> None:
    if version != SCHEMA_VERSION:
        raise InvalidConfig(f"store: its tables are of version {version}, this program needs version {SCHEMA_VERSION}")

"""What differs between databases: how a connection is set up, and how an insert leaves known rows alone."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from interest.errors import InvalidConfig, NotReady

BUSY_TIMEOUT_MS = 10_000  # how long a writer waits for another one, such as an import beside a server

_SQLITE = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}")
_SQLITE_WRITER = ("secure_delete=ON",)  # what is erased does not stay in free pages
_SQLITE_READER = ("query_only=ON", "mmap_size=268435456")


def writing_engine(url: str) -> Engine:
    """An engine whose transactions take the write lock when they begin. Makes the folder of a SQLite file."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        _sqlite_file(parsed).parent.mkdir(parents=True, exist_ok=True)
    return _engine(parsed, _SQLITE_WRITER, "BEGIN IMMEDIATE")


def reading_engine(url: str) -> Engine:
    """An engine whose connections cannot write. Raises `NotReady` when the SQLite file does not exist."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite" and not _sqlite_file(parsed).exists():
        raise NotReady(f"store {parsed.render_as_string()}: there is no such file yet")
    return _engine(parsed, _SQLITE_READER, "BEGIN")


def insert_new(connection: Connection, table: Table) -> Insert:
    """An insert that leaves out rows whose primary key is already there."""
    build = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return build(table).on_conflict_do_nothing()


def insert_or_replace(connection: Connection, table: Table) -> Insert:
    """An insert that takes the place of a row with the same primary key."""
    build = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    insert = build(table)
    rest = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)


def _engine(url: URL, pragmas: tuple[str, ...], begin: str) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    engine = create_engine(url, pool_size=8, max_overflow=-1)  # a connection per thread that reads right now

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # pysqlite itself must not begin transactions: `_begin` does
        for pragma in (*_SQLITE, *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise InvalidConfig(f"store {url!r}: no URL such as sqlite:////folder/attune.db") from error


def _sqlite_file(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise InvalidConfig(f"store {url.render_as_string()}: a file is needed, because readers open it too")
    return Path(url.database)

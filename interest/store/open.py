"""Opening a store by its URL, the only thing that tells one database from another."""

from interest.store.dialect import reading_engine, writing_engine
from interest.store.sql_reader import SqlReader
from interest.store.sql_writer import SqlWriter


def open_reader(url: str) -> SqlReader:
    """A reader of `sqlite:////folder/attune.db` or `postgresql+psycopg://...`.

    Raises `NotReady` when nothing has been written there yet, `InvalidConfig` for a store this program cannot read.
    """
    return SqlReader(reading_engine(url))


def open_writer(url: str) -> SqlWriter:
    """A writer of the same; makes what is missing. Raises `InvalidConfig` for a store this program cannot write."""
    return SqlWriter(writing_engine(url))

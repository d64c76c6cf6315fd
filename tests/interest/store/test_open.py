"""Opening a store: what is missing, foreign or of another version is told by name."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from interest.errors import InvalidConfig, NotReady
from interest.store.open import open_reader, open_writer


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_reader_of_a_file_that_does_not_exist_says_so_and_does_not_make_it(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"nothing\.db: there is no such file"):
        open_reader(url_of(tmp_path / "nothing.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_of_a_file_without_tables_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(NotReady, match="tables have not been made"):
        open_reader(url_of(tmp_path / "empty.db"))


def test_a_writer_makes_folder_and_tables_and_opens_them_again(tmp_path: Path) -> None:
    url = url_of(tmp_path / "new" / "folder" / "attune.db")
    writer = open_writer(url)
    writer.set_meta("split", "train")
    writer.close()
    again = open_writer(url)
    reader = open_reader(url)
    assert reader.get_meta("split") == "train"
    reader.close()
    again.close()


def test_tables_of_another_version_are_refused_by_reader_and_writer(tmp_path: Path) -> None:
    url = url_of(tmp_path / "attune.db")
    writer = open_writer(url)
    writer.set_meta("schema_version", "0")
    writer.close()
    with pytest.raises(InvalidConfig, match="version 0, this program needs version 3"):
        open_reader(url)
    with pytest.raises(InvalidConfig, match="version 0, this program needs version 3"):
        open_writer(url)


def test_tables_of_another_version_are_left_as_they_are(tmp_path: Path) -> None:
    url = url_of(tmp_path / "attune.db")
    writer = open_writer(url)
    writer.set_meta("schema_version", "2")
    writer.close()
    with closing(sqlite3.connect(tmp_path / "attune.db")) as older:
        older.execute("DROP TABLE snapshots")
    with pytest.raises(InvalidConfig, match="version 2, this program needs version 3"):
        open_writer(url)
    with closing(sqlite3.connect(tmp_path / "attune.db")) as older:
        assert not older.execute("SELECT 1 FROM sqlite_master WHERE name = 'snapshots'").fetchall()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused_because_readers_could_not_see_it(url: str) -> None:
    with pytest.raises(InvalidConfig, match="a file is needed"):
        open_writer(url)


def test_text_that_is_no_url_is_told_by_its_value() -> None:
    with pytest.raises(InvalidConfig, match=r"store 'attune\.db'"):
        open_writer("attune.db")

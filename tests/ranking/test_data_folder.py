"""A folder that says how to read it is taken at its word: what is wrong in it is named, never passed over."""

from pathlib import Path

import pytest

from interest.errors import InvalidConfig, MalformedRequest
from ranking.data_folder import ImportFiles, find_mapping

NAMED = "files: {items: things.csv, events: acts.csv}\nitems: {columns: {item_id: code, title: name}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "things.csv").write_text("code,name\na,One\n")
    (tmp_path / "acts.csv").write_text("type,user_id,item_id,timestamp\nview,u,a,1\n")
    (tmp_path / "mapping.yaml").write_text(NAMED)
    return tmp_path


def test_a_folder_is_read_as_its_own_mapping_says(folder: Path) -> None:
    found = find_mapping(folder)
    assert found is not None
    assert found[0] == ImportFiles(folder / "things.csv", (folder / "acts.csv",), None)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (NAMED.replace("things.csv", "thongs.csv"), r"mapping\.yaml: files\.items: no file 'thongs\.csv'"),
        (NAMED.replace("acts.csv", "cats.csv"), r"mapping\.yaml: files\.events: no file 'cats\.csv'"),
        (NAMED.replace("acts.csv", "acts.csv, users: us.csv"), r"mapping\.yaml: files\.users: no file 'us\.csv'"),
        (NAMED.replace("name}", "nmae}"), r"things\.csv: no column 'nmae'; its columns are code, name"),
        (NAMED.replace("title", "titel"), r"mapping\.yaml: items.*titel"),
        ("source: mine", r"mapping\.yaml: names no items or events file"),
    ],
)
def test_a_typo_in_the_folders_own_mapping_is_named(folder: Path, mapping: str, said: str) -> None:
    (folder / "mapping.yaml").write_text(mapping)
    with pytest.raises(InvalidConfig, match=said):
        find_mapping(folder)


def test_a_file_that_cannot_be_read_is_named_with_and_without_a_mapping(folder: Path) -> None:
    (folder / "things.csv").write_bytes(b"\n")
    with pytest.raises(MalformedRequest, match=r"things\.csv: the first line"):
        find_mapping(folder)
    (folder / "mapping.yaml").unlink()
    (folder / "items.parquet").write_bytes(b"no parquet")
    with pytest.raises(MalformedRequest, match=r"items\.parquet: cannot be read"):
        find_mapping(folder)


def test_held_out_events_of_an_own_mapping_must_be_there_when_they_are_wanted(folder: Path) -> None:
    (folder / "mapping.yaml").write_text(NAMED.replace("acts.csv", "acts.csv, held_out: later.csv"))
    assert find_mapping(folder) is not None
    with pytest.raises(InvalidConfig, match=r"later\.csv: the held-out events"):
        find_mapping(folder, split="all")
    (folder / "later.csv").write_text("type,user_id,item_id,timestamp\nview,u,a,2\n")
    found = find_mapping(folder, split="all")
    assert found is not None
    assert found[0].events == (folder / "acts.csv", folder / "later.csv")

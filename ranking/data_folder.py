"""The files of a data folder and how to read them: its own mapping, a shipped one, or our own layout."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from interest.errors import InvalidConfig
from ranking.mapping import Mapping, load_mapping, shipped_mappings
from ranking.table_files import SUFFIXES, open_table

MAPPING_FILE = "mapping.yaml"


@dataclass(frozen=True, slots=True)
class ImportFiles:
    """The files of one data folder."""

    items: Path | None = None
    events: tuple[Path, ...] = ()
    users: Path | None = None


def find_mapping(folder: Path, split: Literal["train", "all"] = "train") -> tuple[ImportFiles, Mapping] | None:
    """The files of a data folder and how to read them, by its own mapping.yaml, a shipped mapping or our own layout.

    "all" adds the events that the mapping calls held out. None when the folder is nothing we know.
    Raises `InvalidConfig` for a wrong mapping.yaml, one that names files or columns that are not there, and when
    held-out events are wanted but missing; `MalformedRequest` for a file that cannot be read.
    """
    own = folder / MAPPING_FILE
    if own.is_file():
        mapping = load_mapping(own)
        files = _own_files(folder, mapping)
        _check_columns(files, mapping)
        return (_with_held_out(files, folder, mapping) if split == "all" else files), mapping
    for mapping in shipped_mappings():
        named = _named_files(folder, mapping)
        if named is not None and _fits(named, mapping):
            return (_with_held_out(named, folder, mapping) if split == "all" else named), mapping
    files = _files_by_stem(folder)
    return (files, Mapping()) if _fits(files, Mapping()) else None


def _own_files(folder: Path, mapping: Mapping) -> ImportFiles:
    """The files that the folder's own mapping names, each of which must be there; by our names when it names none."""
    own, names = folder / MAPPING_FILE, mapping.files
    named = {"items": names.items, "events": names.events, "users": names.users}
    for table, name in named.items():
        if name is not None and not (folder / name).is_file():
            raise InvalidConfig(f"{own}: files.{table}: no file {name!r} in {folder}", f"files.{table}")
    files = _named_files(folder, mapping) or _files_by_stem(folder)
    if files.items is None and not files.events:
        raise InvalidConfig(f"{own}: names no items or events file, and {folder} has none called items or events")
    return files


def _named_files(folder: Path, mapping: Mapping) -> ImportFiles | None:
    """The files that the mapping names; None when items or events are not there. Users may be missing."""
    names = mapping.files
    needed = [folder / name for name in (names.items, names.events) if name is not None]
    if not needed or not all(path.is_file() for path in needed):
        return None
    users = folder / names.users if names.users is not None else None
    return ImportFiles(
        items=folder / names.items if names.items is not None else None,
        events=_optional(folder / names.events if names.events is not None else None),
        users=users if users is not None and users.is_file() else None,
    )


def _with_held_out(files: ImportFiles, folder: Path, mapping: Mapping) -> ImportFiles:
    """The files and the source's held-out events. Raises `InvalidConfig` when these are not there or do not fit."""
    if mapping.files.held_out is None:
        return files
    path = folder / mapping.files.held_out
    if not path.is_file() or not _fits(ImportFiles(events=(path,)), mapping):
        raise InvalidConfig(f"{path}: the held-out events of {mapping.source} are missing or have other columns")
    return replace(files, events=(*files.events, path))


def _fits(files: ImportFiles, mapping: Mapping) -> bool:
    """Whether there are files with the columns of the mapping. Raises `MalformedRequest` for a broken one."""
    try:
        _check_columns(files, mapping)
    except InvalidConfig:
        return False
    return files.items is not None or bool(files.events)


def _check_columns(files: ImportFiles, mapping: Mapping) -> None:
    """Raises `InvalidConfig` for a column that a file lacks, `MalformedRequest` for a broken file."""
    tables = [(files.items, mapping.items), *((path, mapping.events) for path in files.events)]
    for path, table in [*tables, (files.users, mapping.users)]:
        if path is not None:
            table.resolve(str(path), open_table(path, table.delimiter).columns)


def _files_by_stem(folder: Path) -> ImportFiles:
    return ImportFiles(_by_stem(folder, "items"), _optional(_by_stem(folder, "events")), _by_stem(folder, "users"))


def _by_stem(folder: Path, stem: str) -> Path | None:
    paths = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.is_file()), None)


def _optional(path: Path | None) -> tuple[Path, ...]:
    return () if path is None else (path,)

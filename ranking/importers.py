"""Import of items, events and users from CSV, JSON-lines and Parquet files, row by row, safe to repeat."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from interest.errors import ConflictingWrite, InvalidConfig, MalformedRequest
from interest.events import Record
from interest.features import detect_language
from interest.items import Item
from interest.store.protocol import AppendResult, PutResult
from ranking.import_rows import EventRows, ItemRows, UserRows
from ranking.import_values import BadValue
from ranking.mapping import Mapping, load_mapping, shipped_mappings
from ranking.table_files import SUFFIXES, RowBatch, TableFile, open_table

MAX_ERRORS_KEPT = 1_000
MAPPING_FILE = "mapping.yaml"
Progress = Callable[[str, int, int | None], None]  # file name, rows done, rows in all where known


class ImportWriter(Protocol):
    """The part of `interest.store.protocol.StoreWriter` that an import needs."""

    def append(self, records: Sequence[Record]) -> AppendResult: ...

    def put_items(
        self, items: Sequence[Item], embeddings: npt.NDArray[np.float32] | None, encoder: str
    ) -> PutResult: ...


@dataclass(frozen=True, slots=True)
class RowError:
    """One skipped row; rows count from 1 for the first row of data."""

    file: str
    row: int
    field: str
    value: str
    reason: str


@dataclass(slots=True)
class TableReport:
    """Rows of one table: read = new + unchanged + skipped."""

    read: int = 0
    new: int = 0
    unchanged: int = 0  # held already, or nothing to hold
    skipped: int = 0


@dataclass(slots=True)
class ImportReport:
    """What an import did; `errors` are the first skipped rows, `reasons` counts all of them."""

    items: TableReport = field(default_factory=TableReport)
    events: TableReport = field(default_factory=TableReport)
    users: TableReport = field(default_factory=TableReport)
    errors: list[RowError] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class ImportFiles:
    """The files of one data folder."""

    items: Path | None = None
    events: tuple[Path, ...] = ()
    users: Path | None = None


def import_data(
    items: Path | None,
    events: Path | Sequence[Path] | None,
    users: Path | None,
    mapping: Mapping,
    writer: ImportWriter,
    progress: Progress,
    *,
    now: float,
) -> ImportReport:
    """Read the files and write what is right in them; bad rows are skipped and reported. `now`: unix seconds.

    Raises `MalformedRequest` for an unreadable file and `InvalidConfig` for a missing column, both before anything
    is written; a file that breaks off in the middle raises after the rows before (a second run repeats nothing).
    """
    paths = [events] if isinstance(events, Path) else list(events or ())
    run = _Import(mapping, writer, progress, now)
    steps: list[Callable[[], None]] = []
    if items is not None:
        steps.append(run.items(items))
    steps += [run.events(path) for path in paths]
    if users is not None:
        steps.append(run.users(users))
    for step in steps:
        step()
    return run.report


def find_mapping(folder: Path, split: Literal["train", "all"] = "train") -> tuple[ImportFiles, Mapping] | None:
    """The files of a data folder and how to read them, by its own mapping.yaml, a shipped mapping or our own layout.

    "all" adds the events that a shipped mapping calls held out. None when the folder is nothing we know.
    Raises `InvalidConfig` for a wrong mapping.yaml, and when held-out events are wanted but not there.
    """
    own = folder / MAPPING_FILE
    candidates = [load_mapping(own)] if own.is_file() else shipped_mappings()
    for mapping in candidates:
        files = _named_files(folder, mapping)
        if files is not None and _fits(files, mapping):
            return (_with_held_out(files, folder, mapping) if split == "all" else files), mapping
    files = ImportFiles(_by_stem(folder, "items"), _optional(_by_stem(folder, "events")), _by_stem(folder, "users"))
    mapping = candidates[0] if own.is_file() else Mapping()
    return (files, mapping) if _fits(files, mapping) else None


class _Import:
    """One run: each of `items`, `events` and `users` checks its file at once and returns what is left to do."""

    def __init__(self, mapping: Mapping, writer: ImportWriter, progress: Progress, now: float) -> None:
        self.report = ImportReport()
        self._mapping = mapping
        self._writer = writer
        self._progress = progress
        self._now = now

    def items(self, path: Path) -> Callable[[], None]:
        table = self._mapping.items
        file = open_table(path, table.delimiter)
        columns = table.resolve(str(path), file.columns)
        return lambda: self._import_items(file, columns)

    def events(self, path: Path) -> Callable[[], None]:
        table = self._mapping.events
        file = open_table(path, table.delimiter)
        columns = table.resolve(str(path), file.columns)
        parser = EventRows(table, self._now, self._mapping.source)  # one a file: files that overlap repeat nothing
        return lambda: self._import_records(file, columns, parser, self.report.events)

    def users(self, path: Path) -> Callable[[], None]:
        table = self._mapping.users
        file = open_table(path, table.delimiter)
        columns = table.resolve(str(path), file.columns)
        parser = UserRows(table, self._now, self._mapping.source)
        return lambda: self._import_records(file, columns, parser, self.report.users)

    def _import_items(self, file: TableFile, columns: dict[str, str]) -> None:
        report, seen = self.report.items, dict[str, Item]()
        extra = self._mapping.items.attributes
        parser = ItemRows(self._mapping.items, self._now, detect_language)
        for batch in self._batches(file, [*columns.values(), *extra.values()], report):
            items: list[Item] = []
            for place, row in enumerate(batch.rows):
                try:
                    item = parser.parse(_cells(batch, columns, place), _cells(batch, extra, place))
                    known = seen.setdefault(item.item_id, item)
                    if known is item:
                        items.append(item)
                    elif known != item:
                        raise BadValue("item_id", item.item_id, "given twice with different content")
                except BadValue as error:
                    self._skip(report, file.path, row, error)
            if items:
                report.new += self._writer.put_items(items, None, "").changed
        report.unchanged = report.read - report.new - report.skipped

    def _import_records(
        self, file: TableFile, columns: dict[str, str], parser: EventRows | UserRows, report: TableReport
    ) -> None:
        for batch in self._batches(file, list(columns.values()), report):
            rows: list[int] = []
            records: list[Record] = []
            for place, row in enumerate(batch.rows):
                try:
                    record = parser.parse(_cells(batch, columns, place))
                except BadValue as error:
                    self._skip(report, file.path, row, error)
                    continue
                if record is not None:
                    rows.append(row)
                    records.append(record)
            self._append(file.path, rows, records, report)
        report.unchanged = report.read - report.new - report.skipped

    def _batches(self, file: TableFile, columns: list[str], report: TableReport) -> Iterator[RowBatch]:
        done = 0
        for batch in file.batches(list(dict.fromkeys(columns))):
            rows = len(batch.rows) + len(batch.bad)
            report.read += rows
            done += rows
            for bad in batch.bad:
                self._skip(report, file.path, bad.row, BadValue("", bad.value, bad.reason))
            yield batch
            self._progress(file.path.name, done, file.total)

    def _append(self, path: Path, rows: list[int], records: list[Record], report: TableReport) -> None:
        """Append; when one record conflicts with a stored one, halve until it is alone and skip it."""
        if not records:
            return
        try:
            report.new += self._writer.append(records).accepted
        except ConflictingWrite as error:
            if len(records) == 1:
                self._skip(report, path, rows[0], BadValue("event_id", str(error), "same id, other content"))
                return
            middle = len(records) // 2
            self._append(path, rows[:middle], records[:middle], report)
            self._append(path, rows[middle:], records[middle:], report)

    def _skip(self, report: TableReport, path: Path, row: int, error: BadValue) -> None:
        report.skipped += 1
        self.report.reasons[f"{error.field}: {error.reason}" if error.field else error.reason] += 1
        if len(self.report.errors) < MAX_ERRORS_KEPT:
            self.report.errors.append(RowError(str(path), row, error.field, error.value, error.reason))


def _cells(batch: RowBatch, columns: dict[str, str], place: int) -> dict[str, object]:
    """Our field -> the cell of this row."""
    return {name: batch.columns[column][place] for name, column in columns.items()}


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
    """Whether the files can be opened and hold the columns of the mapping."""
    tables = [(files.items, mapping.items), *((path, mapping.events) for path in files.events)]
    tables.append((files.users, mapping.users))
    found = [(path, table) for path, table in tables if path is not None]
    try:
        for path, table in found:
            table.resolve(str(path), open_table(path, table.delimiter).columns)
    except (InvalidConfig, MalformedRequest):
        return False
    return files.items is not None or bool(files.events)


def _by_stem(folder: Path, stem: str) -> Path | None:
    paths = [folder / f"{stem}{suffix}" for suffix in SUFFIXES]
    return next((path for path in paths if path.is_file()), None)


def _optional(path: Path | None) -> tuple[Path, ...]:
    return () if path is None else (path,)

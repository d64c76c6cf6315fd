"""Import of items, events and users from CSV, JSON-lines and Parquet files, row by row, safe to repeat."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from interest.errors import ConflictingWrite
from interest.events import Record
from interest.features import detect_language
from interest.items import Item
from interest.store.protocol import AppendResult, PutResult
from ranking.import_rows import EventRows, ItemRows, UserRows
from ranking.import_values import BadValue
from ranking.mapping import Mapping
from ranking.table_files import RowBatch, TableFile, open_table

MAX_ERRORS_KEPT = 1_000
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

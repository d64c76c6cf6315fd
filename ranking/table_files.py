"""Tables in CSV, JSON-lines and Parquet files, streamed in batches of columns."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from interest.errors import MalformedRequest

BATCH_ROWS = 20_000
_JSON_ROWS_LOOKED_AT = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BROKEN = (OSError, EOFError, zlib.error, pa.ArrowException)
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no row: `row` counts from 1 for the first row of data."""

    row: int
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Up to `BATCH_ROWS` rows: `rows` are their numbers, `columns` one list of that length a column."""

    rows: list[int]
    columns: dict[str, list[Any]]
    bad: list[BadRow] = field(default_factory=list)


class TableFile(Protocol):
    """A table that knows its columns, and its number of rows where the format says so."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def total(self) -> int | None: ...

    def batches(self, columns: Sequence[str]) -> Iterator[RowBatch]:
        """These columns of every row. Raises `MalformedRequest` when the file breaks off."""


def open_table(path: Path, delimiter: str | None = None) -> TableFile:
    """Open by extension (.gz too, except Parquet). Raises `MalformedRequest` when there is no readable table."""
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise MalformedRequest(f"{path}: unknown kind of file: must end in one of {', '.join(SUFFIXES)}")
    try:
        if name.endswith(".parquet"):
            return _open_parquet(path)
        if ".jsonl" in name:
            return _open_json_lines(path)
        return _open_csv(path, delimiter or ("\t" if ".tsv" in name else ","))
    except (*_BROKEN, csv.Error) as error:
        raise MalformedRequest(f"{path}: cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """A Parquet file; timestamps arrive as aware `datetime` in UTC."""

    path: Path
    columns: tuple[str, ...]
    total: int | None

    def batches(self, columns: Sequence[str]) -> Iterator[RowBatch]:
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                    cells = {name: _values(batch.column(name)) for name in columns}
                    yield RowBatch(list(range(done + 1, done + batch.num_rows + 1)), cells)
                    done += batch.num_rows
        except _BROKEN as error:
            raise MalformedRequest(f"{self.path}: breaks off after row {done}: {error}") from error


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A CSV file in UTF-8 with a header; every cell is text."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str
    total: int | None = None

    def batches(self, columns: Sequence[str]) -> Iterator[RowBatch]:
        places = [self.columns.index(name) for name in columns]
        batch, done = _Collector(tuple(columns)), 0
        try:
            with _open_text(self.path) as handle:
                reader = csv.reader(handle, delimiter=self.delimiter)
                next(reader)
                for done, cells in enumerate(_csv_rows(reader), start=1):
                    if isinstance(cells, csv.Error):
                        batch.bad.append(BadRow(done, "", f"not CSV: {cells}"))
                    elif len(cells) != len(self.columns):
                        reason = f"wrong number of cells: {len(self.columns)} expected"
                        batch.bad.append(BadRow(done, str(len(cells)), reason))
                    else:
                        batch.add(done, [cells[place] for place in places])
                    if batch.full():
                        yield batch.take()
        except _BROKEN as error:
            raise MalformedRequest(f"{self.path}: breaks off after row {done}: {error}") from error
        yield batch.take()


@dataclass(frozen=True, slots=True)
class JsonLinesTable:
    """A file with one JSON object a line; a key that a line lacks is an empty cell."""

    path: Path
    columns: tuple[str, ...]
    total: int | None = None

    def batches(self, columns: Sequence[str]) -> Iterator[RowBatch]:
        batch, done = _Collector(tuple(columns)), 0
        try:
            with _open_bytes(self.path) as handle:
                for done, line in enumerate(handle, start=1):
                    if not line.strip():
                        continue
                    parsed = _json_object(line)
                    if parsed is None:
                        batch.bad.append(BadRow(done, line[:100].decode("utf-8", "replace"), "not a JSON object"))
                    else:
                        batch.add(done, [parsed.get(name) for name in columns])
                    if batch.full():
                        yield batch.take()
        except _BROKEN as error:
            raise MalformedRequest(f"{self.path}: breaks off after row {done}: {error}") from error
        yield batch.take()


class _Collector:
    """Rows on their way into a batch."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._rows: list[int] = []
        self._cells: list[list[Any]] = []
        self.bad: list[BadRow] = []

    def add(self, row: int, cells: list[Any]) -> None:
        self._rows.append(row)
        self._cells.append(cells)

    def full(self) -> bool:
        return len(self._rows) + len(self.bad) >= BATCH_ROWS

    def take(self) -> RowBatch:
        turned = list(zip(*self._cells, strict=True)) if self._cells else [()] * len(self._columns)
        batch = RowBatch(self._rows, {n: list(c) for n, c in zip(self._columns, turned, strict=True)}, self.bad)
        self._rows, self._cells, self.bad = [], [], []
        return batch


def _open_parquet(path: Path) -> TableFile:
    with pq.ParquetFile(path) as file:
        return ParquetTable(path, tuple(file.schema_arrow.names), file.metadata.num_rows)


def _open_csv(path: Path, delimiter: str) -> TableFile:
    with _open_text(path) as handle:
        header = next(csv.reader(handle, delimiter=delimiter), [])
    names = tuple(name.strip() for name in header)
    if not any(names) or len(set(names)) != len(names):
        raise MalformedRequest(f"{path}: the first line must name each column once: {header}")
    return CsvTable(path, names, delimiter)


def _open_json_lines(path: Path) -> TableFile:
    keys: dict[str, None] = {}
    with _open_bytes(path) as handle:
        for row, line in enumerate(handle):
            if row == _JSON_ROWS_LOOKED_AT:
                break
            keys.update(dict.fromkeys(_json_object(line) or {}))
    if not keys:
        raise MalformedRequest(f"{path}: no JSON object in its first {_JSON_ROWS_LOOKED_AT} lines")
    return JsonLinesTable(path, tuple(keys))


def _open_bytes(path: Path) -> IO[bytes] | gzip.GzipFile:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _open_text(path: Path) -> IO[str]:
    """UTF-8; bytes that are not stay as lone surrogates, so that only their own row fails."""
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv_rows(reader: Iterator[list[str]]) -> Iterator[list[str] | csv.Error]:
    """Rows of a CSV reader without blank lines; a row that cannot be read comes as its error."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error
            continue
        if cells:
            yield cells


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _values(column: Any) -> list[Any]:
    """Python values of an Arrow column (pyarrow is untyped here, hence Any)."""
    if pa.types.is_timestamp(column.type):
        micros = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.int64()).to_pylist()
        return [None if value is None else _EPOCH + timedelta(microseconds=value) for value in micros]
    if pa.types.is_float32(column.type):  # by way of text: 1.45 must not become 1.4500000476837158
        column = column.cast(pa.string()).cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return values

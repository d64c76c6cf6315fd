"""CSV, JSON-lines and Parquet files arrive as the same batches; broken ones are named."""

import gzip
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ranking.table_files
from interest.errors import MalformedRequest
from ranking.table_files import BadRow, open_table


def rows_of(path: Path, columns: list[str], delimiter: str | None = None) -> tuple[list[tuple[Any, ...]], list[BadRow]]:
    rows: list[tuple[Any, ...]] = []
    bad: list[BadRow] = []
    for batch in open_table(path, delimiter).batches(columns):
        rows += zip(batch.rows, *(batch.columns[name] for name in columns), strict=True)
        bad += batch.bad
    return rows, bad


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.CSV"])
def test_a_csv_file_gives_text_cells_and_keeps_leading_zeros(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / name.replace("T.CSV", "T.csv"), '\ufeffid,title\r\n007,"a ""b"",\nc"\r\n\r\n8,爱\r\n'.encode()
    )
    assert rows_of(path, ["title", "id"]) == ([(1, 'a "b",\nc', "007"), (2, "爱", "8")], [])


def test_tabs_and_other_delimiters_cut_cells(tmp_path: Path) -> None:
    assert rows_of(write(tmp_path / "t.tsv", b"a\tb\n1\t2\n"), ["b"])[0] == [(1, "2")]
    assert rows_of(write(tmp_path / "t.csv", b"a;b\n1;2\n"), ["b"], ";")[0] == [(1, "2")]


def test_a_csv_row_with_too_many_cells_or_an_endless_cell_is_bad_and_the_next_one_good(tmp_path: Path) -> None:
    endless = b'"' + b"x" * 200_000 + b'"'
    rows, bad = rows_of(write(tmp_path / "t.csv", b"a,b\n1,2,3\n" + endless + b",1\n4,5\n"), ["a"])
    assert rows == [(3, "4")]
    assert [(row.row, row.reason[:12]) for row in bad] == [(1, "wrong number"), (2, "not CSV: fie")]


def test_json_lines_may_lack_keys_and_bad_lines_are_reported(tmp_path: Path) -> None:
    content = b'{"a": 1, "b": [1]}\n\n{"a": NaN}\n[1]\n{"b": null, "c": 2}\n'
    for name in ("t.jsonl", "t.jsonl.gz"):
        rows, bad = rows_of(write(tmp_path / name, content), ["a", "b", "c"])
        assert rows == [(1, 1, [1], None), (5, None, None, 2)]
        assert [row.row for row in bad] == [3, 4]


def test_parquet_gives_times_with_their_zone_and_short_floats(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
    table = pa.table(
        {
            "naive_ns": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("ns")),
            "zoned": pa.array([moment, None], pa.timestamp("ms", tz="Asia/Shanghai")),
            "day": pa.array([date(2026, 1, 2), None], pa.date32()),
            "price": pa.array([1.45, None], pa.float32()),
            "tags": pa.array([["a"], None], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    rows, _ = rows_of(tmp_path / "t.parquet", ["naive_ns", "zoned", "day", "price", "tags"])
    assert rows == [(1, moment, moment, date(2026, 1, 2), 1.45, ["a"]), (2, None, None, None, None, None)]
    assert open_table(tmp_path / "t.parquet").total == 2


def test_batches_are_cut_and_rows_numbered_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking.table_files, "BATCH_ROWS", 2)
    write(tmp_path / "t.csv", b"a\n1\n2\n3\n4\n5\n")
    pq.write_table(pa.table({"a": [1, 2, 3, 4, 5]}), tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        numbers = [batch.rows for batch in open_table(tmp_path / name).batches(["a"])]
        assert numbers == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.xlsx", b"PK", "unknown kind"),
        ("t.parquet", b"not parquet at all", "cannot be read"),
        ("t.csv.gz", None, "cannot be read"),
        ("t.csv", b"", "first line"),
        ("t.csv", b"a,a\n1,2\n", "first line"),
        ("t.jsonl", b"nothing\n", "no JSON object"),
        ("absent.csv", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_name(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    elif name.endswith(".gz"):
        path.write_bytes(b"not gzip")
    with pytest.raises(MalformedRequest, match=reason) as caught:
        open_table(path)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz"])
def test_a_file_that_breaks_off_says_after_which_row(tmp_path: Path, name: str) -> None:
    line = b'{"a": %d}\n' if "jsonl" in name else b"%d\n"
    body = b"".join(line % (number * 7_919 % 100_003) for number in range(50_000))
    whole = gzip.compress(body if "jsonl" in name else b"a\n" + body)
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MalformedRequest, match=r"breaks off after row [1-9]"):
        rows_of(path, ["a"])


def test_a_parquet_file_with_a_spoilt_page_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [f"text {number}" for number in range(1_000)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[40 : len(content) // 2] = bytes(len(content) // 2 - 40)
    path.write_bytes(content)
    with pytest.raises(MalformedRequest, match="breaks off after row 0"):
        rows_of(path, ["a"])

"""Imports: idempotent, bad rows named, nothing written before the files are understood."""

import csv
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ranking.importers
import ranking.table_files
from interest.errors import ConflictingWrite, InvalidConfig, MalformedRequest
from interest.events import Event, EventType, Facet, InterestEdit, Record
from interest.items import Item
from interest.store.open import open_reader, open_writer
from interest.store.protocol import AppendResult, PutResult
from ranking.data_folder import ImportFiles, find_mapping
from ranking.importers import ImportReport, import_data
from ranking.mapping import Mapping, parse_mapping
from ranking.synthetic import make_world, write_world

NOW = 1_790_000_000.0


class MemoryWriter:
    """A store in two dicts, with the rules of the protocol: all or nothing, one seq an accepted change."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.items: dict[str, Item] = {}
        self.seq = 0
        self.appends = 0

    def append(self, records: Sequence[Record]) -> AppendResult:
        self.appends += 1
        fresh: dict[str, Record] = {}
        for record in records:
            name = record.event_id if isinstance(record, Event) else record.record_id
            known = self.records.get(name) or fresh.get(name)
            if known is None:
                fresh[name] = record
            elif known != record:
                raise ConflictingWrite(f"record {name} is held with other content")
        self.records |= fresh
        self.seq += len(fresh)
        return AppendResult(len(fresh), len(records) - len(fresh), self.seq)

    def put_items(self, items: Sequence[Item], embeddings: npt.NDArray[np.float32] | None, encoder: str) -> PutResult:
        assert len({item.item_id for item in items}) == len(items)
        changed = {item.item_id: item for item in items if self.items.get(item.item_id) != item}
        self.items |= changed
        self.seq += len(changed)
        return PutResult(len(changed), self.seq)

    def events(self) -> list[Event]:
        return [record for record in self.records.values() if isinstance(record, Event)]


def silent(file: str, done: int, total: int | None) -> None:
    """No progress wanted."""


def run(
    writer: MemoryWriter,
    items: Path | None = None,
    events: Path | Sequence[Path] | None = None,
    users: Path | None = None,
    mapping: Mapping | None = None,
) -> ImportReport:
    return import_data(items, events, users, mapping or Mapping(), writer, silent, now=NOW)


def write_csv(path: Path, header: str, *rows: Sequence[object]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(header.split())
        writer.writerows(rows)
    return path


def test_a_world_comes_back_exactly_without_a_mapping_and_a_second_run_adds_nothing(tmp_path: Path) -> None:
    world = make_world(np.random.default_rng(5), items_per_domain=20, users=10, events=800)
    items, events = write_world(world, tmp_path)
    writer = MemoryWriter()
    first = run(writer, items, events)
    assert list(writer.items.values()) == world.items
    assert writer.events() == world.events
    assert (first.items.read, first.items.new, first.items.unchanged) == (100, 100, 0)
    assert (first.events.read, first.events.new, first.events.unchanged) == (800, 800, 0)
    second = run(writer, items, events)
    assert (second.items.new, second.items.unchanged) == (0, 100)
    assert (second.events.new, second.events.unchanged) == (0, 800)
    assert first.errors == second.errors == []


def test_events_without_ids_are_known_again_and_exact_repeats_in_one_file_all_count(tmp_path: Path) -> None:
    rows = [("view", "u", "i", 5), ("view", "u", "i", 5), ("view", "u", "i", 6)]
    path = write_csv(tmp_path / "events.csv", "type user_id item_id timestamp", *rows)
    writer = MemoryWriter()
    assert run(writer, events=path).events.new == 3
    assert run(writer, events=path).events.unchanged == 3
    turned = write_csv(tmp_path / "turned.csv", "type user_id item_id timestamp", *reversed(rows))
    assert run(writer, events=turned).events.new == 0
    assert run(writer, events=[path, turned]).events.unchanged == 6
    other = run(writer, events=path, mapping=parse_mapping("source: other", "m"))
    assert other.events.new == 3


def test_bad_event_rows_are_skipped_and_named_and_the_good_ones_kept(tmp_path: Path) -> None:
    header = "event_id type user_id item_id timestamp value"
    path = write_csv(
        tmp_path / "events.csv",
        header,
        ("e1", "view", "u", "i", 1, ""),
        ("e2", "stare", "u", "i", 1, ""),
        ("e3", "view", "", "i", 1, ""),
        ("e4", "view", "u", "i", -1, ""),
        ("e5", "view", "u", "i", "soon", ""),
        ("e6", "view", "u", "i", NOW + 90_000, ""),
        ("e7", "rating", "u", "i", 1, "nan"),
        ("e8", "VIEW", "u", "i", 1, ""),
    )
    writer = MemoryWriter()
    report = run(writer, events=path)
    assert [event.event_id for event in writer.events()] == ["e1", "e8"]
    assert (report.events.read, report.events.new, report.events.skipped) == (8, 2, 6)
    found = [(error.row, error.field, error.value) for error in report.errors]
    assert found == [
        (2, "type", "stare"),
        (3, "user_id", ""),
        (4, "timestamp", "-1"),
        (5, "timestamp", "soon"),
        (6, "timestamp", "1790090000.0"),
        (7, "value", "nan"),
    ]
    assert {error.file for error in report.errors} == {str(path)}
    assert sum(report.reasons.values()) == 6
    assert report.reasons["user_id: missing"] == 1


def test_bad_item_rows_are_skipped_and_named(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"item_id": 1, "title": "Kettle", "price": 5, "tags": ["tea"], "attributes": {"brand": "Oda"}},
        {"item_id": None, "title": "No id"},
        {"item_id": 3, "title": " "},
        {"item_id": 4, "title": "Cheap", "price": -1},
        {"item_id": 5, "title": "Odd", "price": "Infinity"},
        {"item_id": 6, "title": "Bonjour", "language": "fr"},
        {"item_id": 7, "title": "Thing", "domain": "groceries"},
        {"item_id": 8, "title": "x" * 1_001},
        {"item_id": 9, "title": "Later", "created_at": NOW + 400 * 86_400},
        {"item_id": 1, "title": "Another kettle"},
        {"item_id": 10, "title": "手冲壶", "created_at": "2026-01-01", "available": False},
    ]
    path = tmp_path / "items.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows) + b'\n{"item_id": 11, "title"\n')
    writer = MemoryWriter()
    report = run(writer, items=path)
    assert [item.item_id for item in writer.items.values()] == ["1", "10"]
    kettle, pot = writer.items.values()
    assert kettle == Item(item_id="1", title="Kettle", price=5.0, tags=("tea",), attributes={"brand": "Oda"})
    assert (pot.language, pot.created_at, pot.available) == ("zh", 1_767_225_600.0, False)
    assert (report.items.read, report.items.new, report.items.unchanged, report.items.skipped) == (12, 2, 0, 10)
    fields = ["item_id", "title", "price", "price", "language", "domain", "title", "created_at", "item_id"]
    assert sorted((error.row, error.field) for error in report.errors) == sorted(
        [*zip(range(2, 11), fields, strict=True), (12, "")]
    )


def test_a_repeated_equal_item_is_unchanged_and_a_changed_one_is_new(tmp_path: Path) -> None:
    writer = MemoryWriter()
    path = write_csv(tmp_path / "items.csv", "item_id title", ("a", "One"), ("a", "One"))
    report = run(writer, items=path)
    assert (report.items.new, report.items.unchanged, report.items.skipped) == (1, 1, 0)
    write_csv(path, "item_id title", ("a", "One, revised"), ("b", "Two"))
    assert run(writer, items=path).items.new == 2


def test_an_id_held_with_other_content_costs_only_its_own_row(tmp_path: Path) -> None:
    writer = MemoryWriter()
    writer.append([Event(event_id="e5", type=EventType.VIEW, user_id="other", item_id="i", timestamp=1.0)])
    rows = [(f"e{number}", "view", "u", "i", number) for number in range(9)]
    path = write_csv(tmp_path / "events.csv", "event_id type user_id item_id timestamp", *rows)
    report = run(writer, events=path)
    assert (report.events.new, report.events.unchanged, report.events.skipped) == (8, 0, 1)
    assert [(error.row, error.field) for error in report.errors] == [(6, "event_id")]
    assert "e5" in report.errors[0].value


def test_the_sql_store_takes_an_import_and_counts_as_the_one_in_memory(tmp_path: Path) -> None:
    items, events = write_world(make_world(np.random.default_rng(5), 20, 10, 800), tmp_path)
    clashing = write_csv(
        tmp_path / "more.csv",
        "event_id type user_id item_id timestamp",
        ("event-0000001", "view", "stranger", "i", 1),
        ("more-1", "view", "stranger", "i", 1),
    )
    url = f"sqlite:///{tmp_path / 'attune.db'}"
    with closing(open_writer(url)) as writer, closing(open_reader(url)) as reader:
        reports = [import_data(items, [events, clashing], None, Mapping(), writer, silent, now=NOW) for _ in range(2)]
        assert [(report.items.new, report.items.unchanged) for report in reports] == [(100, 0), (0, 100)]
        assert [(report.events.new, report.events.unchanged) for report in reports] == [(801, 0), (0, 801)]
        assert [report.events.skipped for report in reports] == [1, 1]
        assert (reader.counts()["items"], reader.counts()["events"]) == (100, 801)


class BesideAServer(MemoryWriter):
    """The same store while a server writes to it too: between any two calls the log moves on by a hundred."""

    def append(self, records: Sequence[Record]) -> AppendResult:
        self.seq += 100
        return super().append(records)

    def put_items(self, items: Sequence[Item], embeddings: npt.NDArray[np.float32] | None, encoder: str) -> PutResult:
        self.seq += 100
        return super().put_items(items, embeddings, encoder)


def test_what_a_running_server_writes_meanwhile_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking.table_files, "BATCH_ROWS", 30)
    items, events = write_world(make_world(np.random.default_rng(5), 20, 10, 800), tmp_path)
    writer = BesideAServer()
    reports = [run(writer, items, events) for _ in range(2)]
    assert [(report.items.new, report.items.unchanged) for report in reports] == [(100, 0), (0, 100)]
    assert [(report.events.new, report.events.unchanged) for report in reports] == [(800, 0), (0, 800)]


def test_only_the_first_errors_are_kept_but_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking.importers, "MAX_ERRORS_KEPT", 3)
    rows = [("view", "", "i", 1)] * 10
    path = write_csv(tmp_path / "events.csv", "type user_id item_id timestamp", *rows)
    report = run(MemoryWriter(), events=path)
    assert len(report.errors) == 3
    assert report.reasons == {"user_id: missing": 10}


def test_declared_interests_of_users_become_edits_once(tmp_path: Path) -> None:
    rows = [("ann", "tea|kitchen", "", 7), ("bob", "", "", ""), ("", "tea", "", ""), ("cem", "", "jazz", "")]
    path = write_csv(tmp_path / "users.csv", "user_id categories tags timestamp", *rows)
    writer = MemoryWriter()
    report = run(writer, users=path)
    assert (report.users.read, report.users.new, report.users.unchanged, report.users.skipped) == (4, 2, 1, 1)
    edits = [record for record in writer.records.values() if isinstance(record, InterestEdit)]
    assert [(edit.user_id, edit.timestamp) for edit in edits] == [("ann", 7.0), ("cem", 0.0)]
    assert edits[0].facets == ((Facet("category", "tea"), 1.0), (Facet("category", "kitchen"), 1.0))
    assert run(writer, users=path).users.new == 0


@pytest.mark.parametrize("broken", ["events", "users"])
def test_nothing_is_written_when_any_file_lacks_a_column_or_cannot_be_read(tmp_path: Path, broken: str) -> None:
    items = write_csv(tmp_path / "items.csv", "item_id title", ("a", "One"))
    writer = MemoryWriter()
    for path, error in (
        (write_csv(tmp_path / "wrong.csv", "item_id title", ("a", "b")), InvalidConfig),
        (tmp_path / "absent.csv", MalformedRequest),
    ):
        with pytest.raises(error, match=path.name):
            run(writer, items, path if broken == "events" else None, path if broken == "users" else None)
    assert (writer.items, writer.records, writer.appends) == ({}, {}, 0)


def test_progress_names_the_file_and_counts_rows_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking.table_files, "BATCH_ROWS", 2)
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"]}), path)
    calls: list[tuple[str, int, int | None]] = []
    import_data(path, None, None, Mapping(), MemoryWriter(), lambda *call: calls.append(call), now=NOW)
    assert calls == [("items.parquet", 2, 3), ("items.parquet", 3, 3)]


def shop_folder(folder: Path) -> Path:
    """A folder with the columns of online-retail."""
    pq.write_table(
        pa.table(
            {
                "item_id": pa.array([3, 4], pa.int32()),
                "title": ["RED MUG", "BLUE MUG"],
                "median_unit_price": pa.array([1.45, None], pa.float32()),
            }
        ),
        folder / "items.parquet",
    )
    events = pa.table(
        {
            "user_id": pa.array([17, 17], pa.int32()),
            "item_id": pa.array([3, 4], pa.int32()),
            "timestamp": [1_300_000_000, 1_300_000_060],
            "quantity": pa.array([2, 6], pa.int32()),
            "unit_price": pa.array([1.45, 2.0], pa.float32()),
        }
    )
    pq.write_table(events, folder / "train.parquet")
    pq.write_table(events.slice(1), folder / "validation.parquet")
    pq.write_table(pa.table({"user_id": [17], "country": ["Iceland"]}), folder / "users.parquet")
    return folder


def test_a_folder_of_a_shipped_source_is_recognised_by_its_columns_and_read(tmp_path: Path) -> None:
    folder = shop_folder(tmp_path)
    found = find_mapping(folder)
    assert found is not None
    files, mapping = found
    assert mapping.source == "online-retail"
    assert files == ImportFiles(folder / "items.parquet", (folder / "train.parquet",), folder / "users.parquet")
    writer = MemoryWriter()
    run(writer, files.items, files.events, files.users, mapping)
    assert writer.items["3"] == Item(item_id="3", title="RED MUG", domain="e-commerce", language="en", price=1.45)
    assert writer.items["4"].price is None
    first = writer.events()[0]
    assert (first.type, first.user_id, first.item_id, first.value) == (EventType.PURCHASE, "17", "3", 2.0)
    assert first.timestamp == 1_300_000_000.0


def test_split_all_adds_the_held_out_events(tmp_path: Path) -> None:
    folder = shop_folder(tmp_path)
    found = find_mapping(folder, split="all")
    assert found is not None
    assert found[0].events == (folder / "train.parquet", folder / "validation.parquet")
    (folder / "validation.parquet").unlink()
    with pytest.raises(InvalidConfig, match=r"validation\.parquet"):
        find_mapping(folder, split="all")


def test_films_keep_their_year_as_an_attribute_and_books_their_authors(tmp_path: Path) -> None:
    films, books = tmp_path / "films", tmp_path / "books"
    films.mkdir()
    books.mkdir()
    film = {"item_id": ["0000008"], "title": ["La sortie"], "year": pa.array([1895], pa.int16()), "genres": ["A|Short"]}
    pq.write_table(pa.table(film), films / "items.parquet")
    rating = {"user_id": [0], "item_id": ["0000008"], "rating": pa.array([6], pa.int8()), "timestamp": [1_362_062_307]}
    pq.write_table(pa.table(rating), films / "train.parquet")
    book = {
        "item_id": [1, 2, 3],
        "title": ["Dune", "红楼梦", "Faust"],
        "authors": ["F. Herbert", "曹雪芹", "Goethe"],
        "genres": ["classics,fantasy", None, "drama"],
        "language_code": ["en-US", "zho", None],
        "original_publication_year": [1965, 1791, None],
        "average_rating": [4.2, 4.1, 3.9],
    }
    pq.write_table(pa.table(book), books / "items.parquet")
    writer = MemoryWriter()
    for folder, source in ((films, "movietweetings"), (books, "goodbooks")):
        found = find_mapping(folder)
        assert found is not None
        files, mapping = found
        assert mapping.source == source
        report = run(writer, files.items, files.events, files.users, mapping)
        assert report.errors == []
    film_item = writer.items["0000008"]
    assert (film_item.categories, film_item.created_at) == (("A", "Short"), None)
    assert film_item.attributes == {"year": "1895"}
    assert [event.value for event in writer.events()] == [6.0]
    assert [writer.items[key].language for key in ("1", "2", "3")] == ["en", "zh", "en"]
    assert writer.items["1"].tags == ("classics", "fantasy")
    assert writer.items["1"].text == writer.items["1"].attributes["authors"] == "F. Herbert"


def test_our_own_layout_and_a_mapping_in_the_folder_are_recognised_and_other_folders_are_not(tmp_path: Path) -> None:
    assert find_mapping(tmp_path) is None
    write_csv(tmp_path / "items.csv", "code name", ("a", "One"))
    assert find_mapping(tmp_path) is None
    (tmp_path / "mapping.yaml").write_text("source: mine\nitems: {columns: {item_id: code, title: name}}")
    found = find_mapping(tmp_path)
    assert found is not None
    assert (found[0].items, found[1].source) == (tmp_path / "items.csv", "mine")
    (tmp_path / "mapping.yaml").write_text("sauce: mine")
    with pytest.raises(InvalidConfig, match="sauce"):
        find_mapping(tmp_path)
    own = tmp_path / "own"
    items, events = write_world(make_world(np.random.default_rng(1), 4, 2, 20), own)
    assert find_mapping(own) == (ImportFiles(items, (events,), None), Mapping())

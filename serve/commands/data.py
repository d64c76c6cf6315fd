"""`attune import` and `attune train`: files into the store, the store's log into a release."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from interest.errors import InvalidRequest
from interest.store.open import open_reader, open_writer
from interest.store.protocol import IMPORTED_UNTIL, StoreWriter
from ranking.importers import ImportReport, import_data
from ranking.mapping import Mapping, load_mapping
from ranking.release import ModelRepository, Release

SHOWN_ERRORS = 20


def import_files(
    console: Console, store: str, items: Path | None, events: Path | None, users: Path | None, mapping: Path | None
) -> ImportReport:
    """Import with progress bars and print what became of every row."""
    if items is None and events is None and users is None:
        raise InvalidRequest("attune import: give at least one of --items, --events, --users")
    read = load_mapping(mapping) if mapping else Mapping()
    return import_mapped(console, store, items, [events] if events else [], users, read)


def import_mapped(
    console: Console, store: str, items: Path | None, events: Sequence[Path], users: Path | None, mapping: Mapping
) -> ImportReport:
    """The same with a mapping in hand and any number of event files."""
    with closing(open_writer(store)) as writer, progress_bars(console) as bars:
        report = import_data(items, events, users, mapping, writer, row_counter(bars), now=time.time())
        if report.events.new:
            _note_newest_event(store, writer)
    print_report(console, report)
    return report


def _note_newest_event(store: str, writer: StoreWriter) -> None:
    """What events posted later say of the time does not move the clock of the next start: imported ones do."""
    with closing(open_reader(store)) as reader:
        newest = reader.last_event_at()
    if newest is not None:
        writer.set_meta(IMPORTED_UNTIL, repr(newest))


def train_release(
    console: Console,
    store: str,
    repository: Path,
    seed: int,
    until: float | None = None,
    incremental: bool = False,
) -> Release:
    """Train on the log, up to `until` (unix seconds) if given, write a release and make it the wanted one.

    `incremental`: go on from the newest release's checkpoint.
    """
    from ranking.incremental import train_incrementally
    from ranking.training import train  # torch and LightGBM only where they are used

    with closing(open_writer(store)) as writer, closing(open_reader(store)) as reader, progress_bars(console) as bars:
        fit = train_incrementally if incremental else train
        release = fit(reader, writer, ModelRepository(repository), seed=seed, progress=bars, until=until)
        writer.set_wanted_release(release.name)
    parts = ", ".join(f"{name} {version}" for name, version in sorted(release.models.items()))
    console.print(f"Release [bold]{release.name}[/]: {parts}", highlight=False)
    for name, value in sorted(release.metrics.items()):
        console.print(f"  {name}: {value:.4g}", highlight=False)
    return release


def progress_bars(console: Console) -> Progress:
    """Bars with a count and the time taken."""
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def row_counter(bars: Progress) -> Callable[[str, int, int | None], None]:
    """A callback (what, rows done, rows in all where known) that keeps one bar for each `what`."""
    tasks: dict[str, TaskID] = {}

    def count(what: str, done: int, total: int | None) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    return count


def print_report(console: Console, report: ImportReport) -> None:
    """A table of counts, and the first bad rows with file, row, field, value and reason."""
    table = Table("", "read", "new", "unchanged", "skipped")
    for name, counts in (("items", report.items), ("events", report.events), ("users", report.users)):
        if counts.read:
            table.add_row(name, *(f"{n:,}" for n in (counts.read, counts.new, counts.unchanged, counts.skipped)))
    console.print(table)
    for error in report.errors[:SHOWN_ERRORS]:
        console.print(
            f"  {error.file}, row {error.row}: {error.field}={error.value!r}: {error.reason}", highlight=False
        )
    skipped = sum(report.reasons.values())
    if skipped > SHOWN_ERRORS:
        console.print(f"  ... {skipped:,} skipped in all")

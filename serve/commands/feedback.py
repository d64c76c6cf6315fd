"""`attune feedback export`: preference pairs out of the impression log."""

from contextlib import closing
from pathlib import Path

from rich.console import Console

from interest.errors import InvalidRequest
from interest.model import DAY_S
from interest.store.open import open_reader
from serve.adaptation.pairs import Export, export_pairs, write_pairs


def export_feedback(console: Console, store: str, days: float, domain: str, out: Path) -> Export:
    """Write the pairs of the last `days` before the newest impression to `out`, and say what they come from.

    Errors: `InvalidRequest` when nothing has been shown yet.
    """
    with closing(open_reader(store)) as reader:
        newest = reader.last_impression_at()
        if newest is None:
            raise InvalidRequest("impressions: nothing has been shown yet")
        with console.status("Pairing texts ..."):
            export = export_pairs(reader, newest - days * DAY_S, domain)
    write_pairs(out, export.pairs)
    counts = export.counts
    console.print(
        f"{len(export.pairs):,} pairs about {len({pair.item_id for pair in export.pairs}):,} items in {out}, of "
        f"{counts['liked'] + counts['refused'] + counts['silent']:,} texts by the model in {days:g} days: "
        f"{counts['liked']:,} liked, {counts['refused']:,} refused, {counts['silent']:,} without a word; "
        f"{counts['changed']:,} left out because their item has changed",
        highlight=False,
    )
    return export

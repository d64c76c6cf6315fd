"""`attune exposure` and `attune off-policy`: what the impression log says of the catalogue and of other rankings."""

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from interest.catalogue import Catalogue
from interest.errors import InvalidRequest
from interest.model import DAY_S
from interest.store.open import open_reader
from interest.store.protocol import Impression, StoreReader
from ranking.exposure import NO_CATEGORY, Exposure, exposure
from ranking.impression_log import REWARDED, greedy_choices, lists_of, logged_places, rewards
from ranking.off_policy import OffPolicyReport, off_policy
from ranking.offline import all_items, load_stages
from ranking.release import ModelRepository
from serve.config import ClockConfig

SHOWN_CATEGORIES = 20
ESTIMATES = {
    "logged": "what was shown",
    "ips": "target, IPS",
    "snips": "target, SNIPS",
    "dr": "target, doubly robust",
    "mean_weight": "mean weight (1 expected)",
}


def report_exposure(console: Console, store: str, days: float, output: Path | None) -> Exposure:
    """Print the exposure of the last `days` before the newest impression; `output` takes it as JSON."""
    with closing(open_reader(store)) as reader:
        impressions = _newest(reader, days)
        catalogue = Catalogue()
        catalogue.apply(all_items(reader))
    found = exposure(impressions, catalogue.view())
    console.print(
        f"{found.lists:,} lists with {found.impressions:,} impressions in {days:g} days; Gini {found.gini:.3f}, "
        f"{found.coverage:.1%} of {found.items:,} items shown"
        + (f"; {found.gone:,} impressions of items that are gone" if found.gone else ""),
        highlight=False,
    )
    table = Table("category", "exposure", "catalogue", "ratio")
    for share in found.categories[:SHOWN_CATEGORIES]:
        ratio = f"{share.exposure / share.catalogue:.2f}" if share.catalogue else ""
        name = "(none)" if share.category == NO_CATEGORY else share.category
        table.add_row(name, f"{share.exposure:.1%}", f"{share.catalogue:.1%}", ratio)
    console.print(table)
    if len(found.categories) > SHOWN_CATEGORIES:
        console.print(f"  ... {len(found.categories) - SHOWN_CATEGORIES} more categories", highlight=False)
    _write(output, {"days": days, **asdict(found)})
    return found


def report_off_policy(
    console: Console, store: str, repository: Path, release: str, days: float, seed: int, output: Path | None
) -> OffPolicyReport:
    """Print what the greedy lists of a release would have earned; `output` takes it as JSON.

    Errors: `InvalidRequest` when no place of the span was open to chance, `InvalidRelease` for an unknown release.
    """
    with closing(open_reader(store)) as reader:
        impressions = _newest(reader, days)
        lists = [shown for shown in lists_of(impressions) if any(one.propensity < 1.0 for one in shown)]
        if not lists:
            raise InvalidRequest(
                f"off-policy: no explored list in the last {days:g} days; exploration.enabled in the config makes them"
            )
        models = ModelRepository(repository)
        latest = models.latest()
        if release == "latest" and latest is None:
            raise InvalidRequest(f"release: {repository} holds none")
        target = latest if release == "latest" and latest is not None else models.read_release(release)
        stages = load_stages(reader, models, target)
        exclude_seen = stages.catalogue.view().main_domain() != "e-commerce"
        choices = greedy_choices(lists, reader, stages, exclude_seen, ClockConfig().quantum_s)
        events = reader.events_since(impressions[0].timestamp, REWARDED)
    reward = rewards([shown for one in lists for shown in one], events)
    found = off_policy(logged_places(lists, choices, reward), np.random.default_rng(seed))
    _print_estimates(console, found, target.name, len(lists), days)
    _write(output, {"days": days, "release": target.name, "lists": len(lists), **asdict(found)})
    return found


def _print_estimates(console: Console, found: OffPolicyReport, release: str, lists: int, days: float) -> None:
    console.print(
        f"{found.places:,} explored places of {lists:,} lists in {days:g} days; target: the lists of release {release} "
        f"without exploration; effective sample {found.effective_sample:,.0f}",
        highlight=False,
    )
    table = Table("rewards a place", "estimate", "95 % interval")
    for name, label in ESTIMATES.items():
        estimate = getattr(found, name)
        table.add_row(label, f"{estimate.value:.4f}", f"{estimate.low:.4f} to {estimate.high:.4f}")
    console.print(table)
    for warning in found.warnings:
        console.print(f"[yellow]Careful:[/] {warning}", highlight=False)


def _newest(reader: StoreReader, days: float) -> list[Impression]:
    """The impressions of the last `days` before the newest one: imported data are served as of their own end."""
    newest = reader.last_impression_at()
    if newest is None:
        raise InvalidRequest("impressions: nothing has been shown yet")
    return reader.impressions_since(newest - days * DAY_S)


def _write(output: Path | None, numbers: dict[str, Any]) -> None:
    if output is not None:
        output.write_text(json.dumps(numbers, indent=1) + "\n")

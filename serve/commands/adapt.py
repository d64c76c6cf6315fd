"""`attune adapt`: fit an adapter to preference pairs, judge it, and register it or say why not."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from ranking.release import ModelRepository
from serve.adaptation.adapting import Adapted, adapt
from serve.adaptation.pairs import read_pairs
from serve.adaptation.training import Settings
from serve.generation.settings import EngineConfig


def adapt_model(
    console: Console,
    pairs: Path,
    name: str,
    model: str,
    repository: Path,
    settings: Settings,
    margin: float,
) -> Adapted:
    """Print the judgement; the result's `version` is None when the adapter was refused."""
    engine = EngineConfig(model=model, threads=settings.threads)
    found = adapt(console, read_pairs(pairs), engine, ModelRepository(repository), name, settings, margin)
    judged, refusal = found.judgement, found.judgement.refusal()
    console.print(
        f"preference accuracy {judged.accuracy:.1%} ({judged.low:.1%} to {judged.high:.1%}) on {judged.pairs:,} "
        f"held-out; {judged.changed:.1%} of {judged.texts:,} texts changed; {judged.grounded:.1%} grounded, without it "
        f"{judged.grounded_base:.1%}",
        highlight=False,
    )
    console.print(f"refused texts: {_counts(judged.untrue)}; without it {_counts(judged.untrue_base)}", highlight=False)
    if found.version is None:
        console.print(f"[bold red]Refused:[/] {refusal}", highlight=False)
    else:
        console.print(f"Registered as {name}/{found.version.version} in {found.version.folder}", highlight=False)
    return found


def _counts(untrue: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} for {reason}" for reason, count in untrue.items()) or "none"

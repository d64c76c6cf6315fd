"""How well the demo model writes about real items: `python -m benchmarks.bench_demo_model --data shared/data`.

Titles of the three shared catalogues, none of them used in training, for users whose interests partly match. "strict"
is what the server's own check lets pass: the exact title, no fact that the item does not have, a sentence of our
grammar. Greedy, as served; free-running, and once more with the engine held to the title (`constrain_title`).
"""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
from rich.console import Console

from benchmarks.bench_recommend import machine
from benchmarks.demo_model_table import rows
from benchmarks.readme_table import markdown
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS, GeneratedText, Generator
from serve.generation.grounding import Reason
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, GenerationTask, ItemFacts, Language
from serve.generation.settings import EngineConfig

DEADLINE_S = 3600.0
MODES = {"free": False, "constrained": True}
INTERESTS = ("travel", "chess", "jazz", "vintage", "garden", "旅行", "音乐", "科幻", "手工", "历史")


@dataclass(frozen=True, slots=True)
class RealItem:
    catalogue: str
    facts: ItemFacts


def real_items(data: Path) -> list[RealItem]:
    """Every item of the three catalogues that has a title."""
    found = []
    for row in pq.read_table(data / "online-retail" / "items.parquet").to_pylist():
        found.append(RealItem("online-retail", ItemFacts(title=str(row["title"] or ""), domain="e-commerce")))
    for row in pq.read_table(data / "movietweetings-142k" / "items.parquet").to_pylist():
        genres = tuple(name for name in str(row["genres"] or "").replace("|", ",").split(",") if name)
        facts = ItemFacts(title=str(row["title"] or ""), domain="entertainment", categories=genres[:2], tags=genres[2:])
        found.append(RealItem("movietweetings", facts))
    for row in pq.read_table(data / "goodbooks-catalogue" / "items.parquet").to_pylist():
        genres = tuple(str(row["genres"] or "").split(","))[:4]
        facts = ItemFacts(title=row["title"], domain="education", categories=genres[:1], tags=genres[1:])
        found.append(RealItem("goodbooks", facts))
    return [item for item in found if item.facts.title.strip()]


def real_tasks(
    items: Sequence[RealItem], language: Language, count: int, seed: int
) -> list[tuple[str, GenerationTask]]:
    """(catalogue, task): the catalogues in equal shares, content types in turns, half of the users share a facet."""
    rng = np.random.default_rng((seed, LANGUAGES.index(language)))
    by_catalogue: dict[str, list[RealItem]] = defaultdict(list)
    for item in items:
        by_catalogue[item.catalogue].append(item)
    names = sorted(by_catalogue)
    tasks = []
    for number in range(count):
        pool = by_catalogue[names[number % len(names)]]
        item = pool[int(rng.integers(len(pool)))]
        own = [*item.facts.categories, *item.facts.tags]
        shared = [str(rng.choice(own))] if own and rng.random() < 0.5 else []
        others = [str(name) for name in rng.choice(INTERESTS, size=int(rng.integers(0, 3)), replace=False)]
        interests = tuple((name, 1.0 - 0.1 * place) for place, name in enumerate([*shared, *others]))
        kind = CONTENT_TYPES[number // len(names) % len(CONTENT_TYPES)]
        task = GenerationTask(item=item.facts, interests=interests, content_type=kind, language=language)
        tasks.append((item.catalogue, task))
    return tasks


async def written(
    model: str, tasks: Sequence[GenerationTask], threads: int
) -> dict[str, tuple[list[GeneratedText | None], float]]:
    """By mode: the texts, and the seconds that they took."""
    engine = GenerationEngine(EngineConfig(model=model, threads=threads))
    await engine.start()
    found = {}
    try:
        for mode, constrain in MODES.items():
            start = time.perf_counter()
            texts = await Generator(engine, constrain_title=constrain).write(tasks, DEFAULT_MAX_TOKENS, DEADLINE_S)
            found[mode] = texts, time.perf_counter() - start
    finally:
        engine.shutdown()
    return found


def summary(texts: Sequence[GeneratedText | None]) -> dict[str, Any]:
    """Shares of all texts. A title that is not exact hides a second fault: the check stops at the first."""
    reasons = Counter("unwritten" if text is None else str(text.reason) for text in texts if not text or text.reason)
    count = max(len(texts), 1)
    false_facts = sum(reasons[str(reason)] for reason in (Reason.NUMBER, Reason.FACET))
    return {
        "texts": len(texts),
        "strict": round(1 - sum(reasons.values()) / count, 4),
        "exact_title": round(1 - reasons[str(Reason.TITLE)] / count, 4),
        "false_fact": round(false_facts / count, 4),
        "refused": dict(reasons),
    }


def groups(
    mode: str, tasks: dict[Language, list[tuple[str, GenerationTask]]], texts: Sequence[GeneratedText | None]
) -> list[dict[str, Any]]:
    """A row for each language and catalogue, and one for all catalogues together; texts are in the order of tasks."""
    rows, start = [], 0
    for language, some in tasks.items():
        own = list(zip((name for name, _ in some), texts[start : start + len(some)], strict=True))
        start += len(some)
        for catalogue in ("all", *sorted({name for name, _ in own})):
            found = summary([text for name, text in own if catalogue in ("all", name)])
            rows.append({"mode": mode, "language": language, "catalogue": catalogue, **found})
    return rows


def main(
    data: Annotated[Path, typer.Option(help="Folder with the three catalogues.")],
    model: str = "demo",
    count: Annotated[int, typer.Option(help="Titles in each language.")] = 1000,
    seed: int = 0,
    threads: int = 1,
    failures: Annotated[int, typer.Option(help="Refused texts to show.")] = 0,
    output: Path = Path("benchmarks/results/demo_model.json"),
) -> None:
    """Write, check, print a table and the raw numbers."""
    console, where = Console(), machine()
    items = real_items(data)
    tasks = {language: real_tasks(items, language, count, seed) for language in LANGUAGES}
    every = [task for language in LANGUAGES for _, task in tasks[language]]
    with console.status(f"Writing {len(every)} texts, free and held to the title ..."):
        found = asyncio.run(written(model, every, threads))
    report: dict[str, Any] = {"machine": where, "model": Path(model).name, "seed": seed, "seconds": {}, "by": []}
    for mode, (texts, seconds) in found.items():
        report["seconds"][mode] = round(seconds, 1)
        report["by"] += groups(mode, tasks, texts)
        refused = [(task, text) for task, text in zip(every, texts, strict=True) if text and text.reason]
        for task, text in refused[:failures]:
            console.print(f"{mode} {text.reason}: {task.item.title} | {text.text}", markup=False, highlight=False)
    console.print(markdown(rows(report)), markup=False, highlight=False)
    output.write_text(json.dumps(report, indent=1) + "\n")
    console.print(f"Written: {output}")


if __name__ == "__main__":
    typer.run(main)

"""How many texts of a model pass the check, on the synthetic world: `attune demo-model evaluate`."""

import asyncio
import json
import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from interest.items import Item
from ranking.synthetic import World, make_world
from ranking.synthetic_users import SyntheticUser
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS, GeneratedText, Generator
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, GenerationTask, ItemFacts, Language
from serve.generation.settings import EngineConfig

SAME_LANGUAGE_SHARE = 0.85  # of texts that are in the language of their item
OF_INTEREST_SHARE = 0.6  # of items that have a tag which the user likes


@dataclass(frozen=True, slots=True)
class Report:
    """Texts of one run: how many the model wrote well, and why the others were refused."""

    texts: list[GeneratedText | None]
    tasks: list[GenerationTask]
    seconds: float

    def as_json(self) -> dict[str, object]:
        """Numbers for a results file; shares are of all texts of that language and content type."""
        tokens = sum(text.completion_tokens for text in self.texts if text)
        return {
            "texts": len(self.texts),
            "seconds": round(self.seconds, 2),
            "texts_per_s": round(len(self.texts) / self.seconds, 2),
            "tokens_per_s": round(tokens / self.seconds, 1),
            "model_share": {language: round(self.share(language), 4) for language in LANGUAGES},
            "model_share_by_type": {
                f"{language} {kind}": round(self.share(language, kind), 4)
                for language in LANGUAGES
                for kind in CONTENT_TYPES
            },
            "refused": dict(Counter(str(text.reason) for text in self.texts if text and text.reason)),
            "unfinished": sum(text is None for text in self.texts),
            "machine": f"{platform.machine()}, {platform.processor() or platform.system()}",
        }

    def share(self, language: str, content_type: str | None = None) -> float:
        """Share of texts that the model wrote and the check let pass."""
        chosen = [
            text is not None and text.source == "model"
            for text, task in zip(self.texts, self.tasks, strict=True)
            if task.language == language and content_type in (None, task.content_type)
        ]
        return sum(chosen) / len(chosen) if chosen else 0.0


def world_tasks(world: World, count: int, rng: np.random.Generator) -> list[GenerationTask]:
    """Tasks in which users of the world are told of its items; languages and content types take turns."""
    by_language = {language: [item for item in world.items if item.language == language] for language in LANGUAGES}
    tasks = []
    for number in range(count):
        language = LANGUAGES[number % 2]
        same = rng.random() < SAME_LANGUAGE_SHARE
        items = by_language[language if same else LANGUAGES[1 - number % 2]]
        user = world.users[int(rng.integers(len(world.users)))]
        item = _item_for(user, items, rng)
        tasks.append(_task(item, user, language, number, rng))
    return tasks


def evaluate(
    console: Console,
    model: str,
    count: int,
    seed: int,
    threads: int,
    concurrency: int,
    constrain_title: bool,
    examples: int,
    out: Path | None,
) -> None:
    """Measure, print a table and a few texts, and write the numbers to `out`."""
    rng = np.random.default_rng(seed)
    tasks = world_tasks(make_world(rng, events=0), count, rng)
    with console.status(f"Writing {count} texts ..."):
        report = asyncio.run(measure(model, tasks, threads, concurrency, constrain_title))
    _print(report, console, examples)
    if out is not None:
        out.write_text(json.dumps(report.as_json(), indent=2, sort_keys=True) + "\n", encoding="utf-8")


async def measure(
    model: str, tasks: Sequence[GenerationTask], threads: int, concurrency: int, constrain_title: bool = False
) -> Report:
    """Write all the texts with up to `concurrency` at once in the engine."""
    engine = GenerationEngine(EngineConfig(model=model, threads=threads, max_num_seqs=concurrency))
    await engine.start()
    try:
        started = time.perf_counter()
        generator = Generator(engine, constrain_title=constrain_title)
        texts = await generator.write(tasks, DEFAULT_MAX_TOKENS, deadline_s=3600.0)
        return Report(texts, list(tasks), time.perf_counter() - started)
    finally:
        engine.shutdown()


def _item_for(user: SyntheticUser, items: Sequence[Item], rng: np.random.Generator) -> Item:
    if rng.random() < OF_INTEREST_SHARE:
        liked = [item for item in items if user.favourite_tags.intersection(item.tags)]
        items = liked or items
    return items[int(rng.integers(len(items)))]


def _task(item: Item, user: SyntheticUser, language: Language, number: int, rng: np.random.Generator) -> GenerationTask:
    names = rng.permutation(sorted(user.favourite_tags))[: int(rng.integers(0, 9))]
    shared = [tag for tag in item.tags if tag in user.favourite_tags][:1]
    interests = tuple((str(name), round(0.95**place, 3)) for place, name in enumerate([*shared, *names]))
    facts = ItemFacts(
        title=item.title,
        domain=item.domain,
        language=item.language,
        categories=item.categories,
        tags=item.tags,
        price=item.price,
    )
    kind = CONTENT_TYPES[number // 2 % 3]
    return GenerationTask(item=facts, interests=interests, content_type=kind, language=language)


def _print(report: Report, console: Console, examples: int) -> None:
    table = Table("language", *CONTENT_TYPES, "all", title="texts written by the model that pass the check")
    for language in LANGUAGES:
        shares = [report.share(language, kind) for kind in CONTENT_TYPES]
        table.add_row(language, *(f"{share:.1%}" for share in (*shares, report.share(language))))
    console.print(table)
    console.print_json(data=report.as_json())
    for text in report.texts[:examples]:
        if text is not None:
            console.print(f"{text.source:8} {text.reason or '':10} {text.text}", markup=False, highlight=False)

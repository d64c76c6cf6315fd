"""Does a model learn what its users like of its words? Simulated readers who prefer one kind of text, end to end.

    python -m benchmarks.bench_adapt            # shorter texts are liked; --quick: a few minutes
    python -m benchmarks.bench_adapt --prefer longer

Texts of the real engine about items of the synthetic world are logged as shown to readers with interests of their own.
A reader clicks with probability sigmoid(appeal of the item + mood of the reader +- `STRENGTH`), plus where the text is
at most (`shorter`) or more than (`longer`) as long, beside its title, as the median of its content type and language;
otherwise it is hidden, half of the time. Appeal and mood are normal, of standard deviation 1: they move clicks as much
as the words do, and nothing of them may be learned. Then the product's own commands do the rest: `feedback export`,
`adapt`, and texts with and without the adapter about items that no reader has seen. Controls learn from readers whom
the words please by lot, in the same share of all cases; they must be refused.

Of the texts as they would be shown (a template where the model's own is untrue), how many are as the readers prefer is
told for the adapter and for the model alone, over the same tasks, with an interval of 95 % for the difference by a
bootstrap over items; items count alike. `held_out` are the texts that `adapt` itself has judged by.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.bench_recommend import machine
from interest.events import Event, EventType
from interest.items import Item
from interest.store.open import open_writer
from interest.store.protocol import Impression
from ranking.bootstrap import mean_intervals
from ranking.release import ModelRepository
from ranking.synthetic import make_world
from serve.generation.choosing import spoken
from serve.generation.completion import Adapter
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS, GeneratedText, Generator
from serve.generation.prompt import ContentType, GenerationTask, Language
from serve.generation.settings import EngineConfig
from serve.text_origin import facts_for, packed_origin

RESULTS = Path("benchmarks/results/adapt.json")
STRENGTH = 2.0  # in logits, up or down
READERS = 12  # of each item
ASKED: tuple[ContentType, ...] = ("headline", "reason", "summary")
NOON = 1_700_000_000.0
Thresholds = dict[tuple[str, str], float]  # characters, by content type and language


def tasks_about(items: Sequence[Item], readers: int, rng: np.random.Generator) -> list[GenerationTask]:
    """Each item as told to so many readers, who share one of its tags and have others of their own."""
    tags = sorted({tag for item in items for tag in item.tags})
    tasks = []
    for number, item in enumerate(items):
        for _ in range(readers):
            liked = [*item.tags[:1], *(str(tag) for tag in rng.permutation(tags)[:3])]
            interests = tuple((tag, 0.9**place) for place, tag in enumerate(dict.fromkeys(liked)))
            language: Language = "zh" if item.language == "zh" else "en"
            kind = ASKED[number % len(ASKED)]
            task = GenerationTask(item=facts_for(item), interests=interests, content_type=kind, language=language)
            tasks.append(task)
    return tasks


async def texts_of(
    tasks: Sequence[GenerationTask], threads: int, adapter: Adapter | None = None
) -> list[GeneratedText | None]:
    engine = GenerationEngine(EngineConfig(threads=threads, max_loras=int(adapter is not None)))
    await engine.start()
    try:
        if adapter is not None:
            await engine.load_adapter(adapter)
        generator = Generator(engine, adapter_of=lambda task, cache_salt: adapter)
        return await generator.write(tasks, DEFAULT_MAX_TOKENS, 3600.0)
    finally:
        engine.shutdown()


def length(text: str, task: GenerationTask) -> int:
    """Characters beside the title."""
    return len(spoken(text, task))


def medians(tasks: Sequence[GenerationTask], texts: Sequence[GeneratedText | None]) -> Thresholds:
    found: dict[tuple[str, str], list[int]] = {}
    for task, text in zip(tasks, texts, strict=True):
        if text is not None and text.source == "model":
            found.setdefault((task.content_type, task.language), []).append(length(text.text, task))
    return {key: float(np.median(lengths)) for key, lengths in found.items()}


def preferred(text: str, task: GenerationTask, thresholds: Thresholds, prefer: str) -> bool:
    short = length(text, task) <= thresholds[task.content_type, task.language]
    return short == (prefer == "shorter")


def best_accuracy(pairs: Sequence[Any], thresholds: Thresholds, prefer: str) -> float:
    """Of the pairs, how many one gets right who knows the preference itself: the rest is appeal, mood and chance."""

    def pleases(text: str, pair: Any) -> int:
        return int(preferred(text, pair.task, thresholds, prefer))

    gained = [pleases(pair.chosen, pair) - pleases(pair.rejected, pair) for pair in pairs]
    return round(float(np.mean([(1 + gain) / 2 for gain in gained])), 4)


def log_feedback(
    url: str,
    items: Sequence[Item],
    shown: Sequence[tuple[int, GenerationTask, GeneratedText]],
    pleased: Sequence[bool],
    rng: np.random.Generator,
) -> None:
    """`shown`: (place of the item, task, text), each to a reader of its own; `pleased` by the words."""
    appeal, mood = rng.normal(size=len(items)), rng.normal(size=len(shown))
    drawn = rng.random((2, len(shown)))
    impressions, events = [], []
    for number, ((place, task, text), happy) in enumerate(zip(shown, pleased, strict=True)):
        user, item_id = f"reader-{number}", items[place].item_id
        numbers: dict[str, Any] = {"position": 1, "timestamp": NOON + number, "requested_at": NOON + number}
        numbers |= {"score": 1.0, "propensity": 1.0, "release": "1", "recommendation_id": f"rec-{number}"}
        words: dict[str, Any] = {"text": text.text, "source": text.source, "origin": packed_origin(task)}
        impressions.append(Impression(user_id=user, item_id=item_id, **numbers, **words))
        chance = 1 / (1 + np.exp(-(appeal[place] + mood[number] + (STRENGTH if happy else -STRENGTH))))
        kind = EventType.CLICK if drawn[0, number] < chance else EventType.HIDE
        if kind is EventType.CLICK or drawn[1, number] < 0.5:
            at = NOON + number + 5
            events.append(Event(event_id=f"e{number}", type=kind, user_id=user, item_id=item_id, timestamp=at))
    with closing(open_writer(url)) as writer:
        writer.put_items(items, None, "")
        writer.log_impressions(impressions)
        writer.append(events)


def share(flags: Sequence[bool]) -> float:
    return round(float(np.mean(flags)), 4)


def told(
    texts: Sequence[GeneratedText | None], tasks: Sequence[GenerationTask], thresholds: Thresholds, prefer: str
) -> dict[str, float]:
    """Of the texts that the model wrote and the check let pass: how many are as preferred, and how long."""
    own = [(text, task) for text, task in zip(texts, tasks, strict=True) if text is not None and text.source == "model"]
    return {
        "grounded": round(len(own) / len(tasks), 4),
        "preferred": share([preferred(text.text, task, thresholds, prefer) for text, task in own]),
        "characters": round(float(np.mean([length(text.text, task) for text, task in own])), 1),
    }


def gained(
    tasks: Sequence[GenerationTask],
    base: Sequence[GeneratedText | None],
    adapted: Sequence[GeneratedText | None],
    thresholds: Thresholds,
    prefer: str,
) -> dict[str, float]:
    """Shares of the shown texts that are as preferred, without and with the adapter, and their paired difference."""

    def pleases(text: GeneratedText | None, task: GenerationTask) -> bool:
        return text is not None and preferred(text.text, task, thresholds, prefer)

    flags = [[pleases(text, task) for text, task in zip(some, tasks, strict=True)] for some in (base, adapted)]
    item = np.unique([task.item.title for task in tasks], return_inverse=True)[1]
    shares = np.array([np.bincount(item, weights=some) / np.bincount(item) for some in flags])
    found = mean_intervals((shares[1] - shares[0])[:, None], np.random.default_rng(0))
    return {
        "items": shares.shape[1],
        "texts": len(tasks),
        "base": round(float(shares[0].mean()), 4),
        "adapter": round(float(shares[1].mean()), 4),
        "gain": round(float(found.mean[0]), 4),
        "low": round(float(found.low[0]), 4),
        "high": round(float(found.high[0]), 4),
    }


def run(
    prefer: Annotated[str, typer.Option(help="shorter | longer")] = "shorter",
    items: int = 320,
    seed: int = 0,
    threads: int = 1,
    minutes: float = 15.0,
    controls: Annotated[int, typer.Option(help="How often to learn from readers who are pleased by lot.")] = 1,
    quick: bool = False,
    output: Path = RESULTS,
) -> None:
    # Not at the top: vLLM's processes import this file again, and do not start where numba has been imported.
    from serve.adaptation.adapting import Adapted, adapt
    from serve.adaptation.judgement import MARGIN
    from serve.adaptation.training import Settings
    from serve.commands.feedback import export_feedback

    console = Console()
    items = 80 if quick else items
    rng = np.random.default_rng(seed)
    before_load = machine()
    world = make_world(rng, events=0)
    order = rng.permutation(len(world.items))
    seen, fresh = (
        [world.items[place] for place in part] for part in (order[:items], order[items : items + items // 2])
    )
    tasks = tasks_about(seen, READERS, rng)
    texts = asyncio.run(texts_of(tasks, threads))
    thresholds = medians(tasks, texts)
    shown = [
        (place // READERS, task, text)
        for place, (task, text) in enumerate(zip(tasks, texts, strict=True))
        if text is not None and text.source == "model"
    ]
    pleased = [preferred(text.text, task, thresholds, prefer) for _, task, text in shown]
    settings = Settings(seed=seed, minutes=minutes, threads=threads)
    new_tasks = tasks_about(fresh, 4, rng)
    with TemporaryDirectory() as folder:
        runs: dict[str, Adapted] = {}
        pairs: dict[str, int] = {}
        right: dict[str, float] = {}
        seconds: dict[str, float] = {}
        feedback = {"adapter": pleased}
        feedback |= {f"control_{number}": rng.permutation(pleased).tolist() for number in range(1, controls + 1)}
        for name, liked in feedback.items():
            url = f"sqlite:///{folder}/{name}.db"
            log_feedback(url, seen, shown, liked, np.random.default_rng(seed))
            export = export_feedback(console, url, 365.0, "", Path(folder) / f"{name}.jsonl")
            start, pairs[name] = time.perf_counter(), len(export.pairs)
            right[name] = best_accuracy(export.pairs, thresholds, prefer)
            models = ModelRepository(Path(folder))
            runs[name] = adapt(console, export.pairs, EngineConfig(threads=threads), models, name, settings, MARGIN)
            seconds[name] = round(time.perf_counter() - start, 1)
            console.print(name, asdict(runs[name].judgement), runs[name].judgement.refusal())
        version = runs["adapter"].version
        written = {"base": asyncio.run(texts_of(new_tasks, threads))}
        if version is not None:
            adapter = Adapter("adapter/1", 1, str(version.folder))
            written["adapter"] = asyncio.run(texts_of(new_tasks, threads, adapter))
    results = {
        "prefer": prefer,
        "seed": seed,
        "texts_shown": len(shown),
        "pairs": pairs,
        "best_accuracy": right,
        "seconds_adapt": seconds,
        "settings": asdict(settings),
        "judgement": {name: asdict(one.judgement) for name, one in runs.items()},
        "refusal": {name: one.judgement.refusal() for name, one in runs.items()},
        "held_out": {name: gained(one.tasks, one.base, one.adapted, thresholds, prefer) for name, one in runs.items()},
        "unseen_items": {name: told(some, new_tasks, thresholds, prefer) for name, some in written.items()},
        "gain_on_unseen_items": gained(new_tasks, written["base"], written["adapter"], thresholds, prefer)
        if "adapter" in written
        else None,
        **before_load,
    }
    console.print_json(data=results)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(run)

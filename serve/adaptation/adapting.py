"""From pairs to a registered adapter: texts by the engine, the fit to the best, the judgement, the repository."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from interest.errors import InvalidRequest
from ranking.release import ManifestFields, ModelRepository, ModelVersion
from serve.adaptation.judgement import Judgement, judged_tasks, judgement, split
from serve.adaptation.lessons import Lesson, asked_tasks, lessons, preference_of
from serve.adaptation.pairs import Pair
from serve.adaptation.training import AdapterFit, Settings
from serve.generation.adapters import KIND, base_identity, repository_name
from serve.generation.completion import Adapter
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS, GeneratedText, Generator
from serve.generation.prompt import GenerationTask
from serve.generation.release import DEMO_FOLDER
from serve.generation.settings import EngineConfig

WRITING_S = 1800.0  # for all texts without the adapter, or all with it


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of it; `version` is None for an adapter that was refused."""

    judgement: Judgement
    tasks: list[GenerationTask]  # that it was judged by, about items that it had not seen
    base: list[GeneratedText | None]  # the texts for these without it
    adapted: list[GeneratedText | None]
    version: ModelVersion | None


def adapt(
    console: Console,
    pairs: Sequence[Pair],
    engine: EngineConfig,
    repository: ModelRepository,
    name: str,
    settings: Settings,
    margin: float,
) -> Adapted:
    """Fit, judge, and register as the next version of `name` unless it is refused.

    Errors: `InvalidRequest` for too few pairs, facts the model cannot be told, or nothing true to learn from,
    `InvalidRelease`, `InvalidConfig`.
    """
    kept = repository_name(name)
    repository.versions(kept)  # a name that it cannot keep is refused before anything is fitted
    known, held_out = split(pairs, settings.seed)
    judged, asked = judged_tasks(held_out), asked_tasks(known, np.random.default_rng((settings.seed, 3)))
    fit = AdapterFit(str(DEMO_FOLDER) if engine.model == "demo" else engine.model, settings)
    with console.status(f"Writing {len(judged) + len(asked):,} texts without the adapter ..."):
        prompts, texts = asyncio.run(_texts(engine, [*judged, *asked]))
    base = texts[: len(judged)]
    learned = lessons(asked, texts[len(judged) :], known, preference_of(known))
    if not learned:
        raise InvalidRequest(
            f"texts: 0 of {len(asked):,} are the model's own and true, at least 1 is needed to learn from"
        )
    steps = _fitted(console, fit, learned, prompts)
    with tempfile.TemporaryDirectory() as folder:
        fit.save(Path(folder))
        with console.status(f"Writing {len(judged):,} texts with the adapter ..."):
            _, adapted = asyncio.run(_texts(engine, judged, Adapter(name, 1, folder)))
        found = judgement(held_out, judged, base, adapted, settings.seed, margin)
        if found.refusal() is not None:
            return Adapted(found, judged, base, adapted, None)
        fields = ManifestFields(
            created=time.time(),
            dims={"rank": settings.rank},
            metrics={key: value for key, value in asdict(found).items() if isinstance(value, float)},
            details={
                "kind": KIND,
                "base": base_identity(engine.model),
                "pairs": len(pairs),
                **asdict(settings),
                "steps": steps,
            },
        )
        version = repository.write_version(
            kept, repository.next_version(kept), lambda target: _copy(Path(folder), target), fields
        )
        return Adapted(found, judged, base, adapted, version)


def _fitted(
    console: Console, fit: AdapterFit, learned: Sequence[Lesson], prompts: Mapping[GenerationTask, list[int]]
) -> int:
    """The number of steps made."""
    examples = fit.examples(learned, [prompts[lesson.task] for lesson in learned])
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"{len(learned):,} texts", total=1.0, state="")
        return fit.fit(examples, lambda done, state: progress.update(bar, completed=done, state=state))


async def _texts(
    config: EngineConfig, tasks: Sequence[GenerationTask], adapter: Adapter | None = None
) -> tuple[dict[GenerationTask, list[int]], list[GeneratedText | None]]:
    """The prompts of the tasks in tokens, and a text for each; of the adapter, or of the model without one."""
    engine = GenerationEngine(config.model_copy(update={"max_loras": int(adapter is not None)}))
    await engine.start()
    try:
        if adapter is not None:
            await engine.load_adapter(adapter)
        generator = Generator(engine, adapter_of=lambda task, cache_salt: adapter)
        texts = await generator.write(tasks, DEFAULT_MAX_TOKENS, WRITING_S)
        return {task: engine.prompt(task) for task in tasks}, texts
    finally:
        engine.shutdown()


def _copy(folder: Path, target: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(folder / name, target / name)

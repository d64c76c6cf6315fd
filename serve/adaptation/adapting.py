"""From pairs to a registered adapter: prompts by the engine, the fit, the judgement by the engine, the repository."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ranking.release import ManifestFields, ModelRepository, ModelVersion
from serve.adaptation.judgement import Judgement, judged_tasks, judgement, split
from serve.adaptation.pairs import Pair
from serve.adaptation.training import AdapterFit, Settings
from serve.generation.adapters import KIND, base_identity, repository_name
from serve.generation.completion import Adapter
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS, Generator
from serve.generation.prompt import GenerationTask
from serve.generation.release import DEMO_FOLDER
from serve.generation.settings import EngineConfig

WRITING_S = 1800.0  # for the texts of one judgement


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of it; `version` is None for an adapter that was refused."""

    judgement: Judgement
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

    Errors: `InvalidRequest` for too few pairs or facts the model cannot be told, `InvalidRelease`, `InvalidConfig`.
    """
    kept = repository_name(name)
    repository.versions(kept)  # a name that it cannot keep is refused before anything is fitted
    known, held_out = split(pairs, settings.seed)
    tasks = judged_tasks(held_out)
    every = [*known, *held_out]
    fit = AdapterFit(str(DEMO_FOLDER) if engine.model == "demo" else engine.model, settings)
    with console.status(f"Writing {len(tasks)} texts without the adapter ..."):
        prompts, base = asyncio.run(_prompts_and_texts(engine, [pair.task for pair in every], tasks))
    examples = fit.examples(every, prompts)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"{len(known):,} pairs", total=1.0, state="")
        steps = fit.fit(examples[: len(known)], lambda done, state: progress.update(bar, completed=done, state=state))
    margins = fit.margins(examples[len(known) :])
    with tempfile.TemporaryDirectory() as folder:
        fit.save(Path(folder))
        with console.status(f"Writing {len(tasks)} texts with the adapter ..."):
            adapted = asyncio.run(_texts_with(engine, tasks, Adapter(name, 1, folder)))
        found = judgement(held_out, margins, base, adapted, settings.seed, margin)
        if found.refusal() is not None:
            return Adapted(found, None)
        fields = ManifestFields(
            created=time.time(),
            dims={"rank": settings.rank},
            metrics={key: value for key, value in asdict(found).items() if isinstance(value, float)},
            details={
                "kind": KIND,
                "base": base_identity(engine.model),
                "steps": steps,
                "pairs": len(pairs),
                **asdict(settings),
            },
        )
        version = repository.write_version(
            kept, repository.next_version(kept), lambda target: _copy(Path(folder), target), fields
        )
        return Adapted(found, version)


async def _prompts_and_texts(
    config: EngineConfig, every: Sequence[GenerationTask], judged: Sequence[GenerationTask]
) -> tuple[list[list[int]], list[bool]]:
    """The prompts of all tasks in tokens, and whether the text of each judged one is the model's own and true."""
    engine = GenerationEngine(config)
    await engine.start()
    try:
        return [engine.prompt(task) for task in every], await _grounded(Generator(engine), judged)
    finally:
        engine.shutdown()


async def _texts_with(config: EngineConfig, judged: Sequence[GenerationTask], adapter: Adapter) -> list[bool]:
    engine = GenerationEngine(config.model_copy(update={"max_loras": 1}))
    await engine.start()
    try:
        await engine.load_adapter(adapter)
        return await _grounded(Generator(engine, adapter_of=lambda task, cache_salt: adapter), judged)
    finally:
        engine.shutdown()


async def _grounded(generator: Generator, tasks: Sequence[GenerationTask]) -> list[bool]:
    texts = await generator.write(tasks, DEFAULT_MAX_TOKENS, WRITING_S)
    return [text is not None and text.source == "model" for text in texts]


def _copy(folder: Path, target: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(folder / name, target / name)

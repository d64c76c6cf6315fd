"""What does an engine that can take adapters cost, and what one that uses them?

    python -m benchmarks.bench_lora            # --quick: a minute

Three engines at once, asked in turns with the same tasks: as it is, with room for adapters but none in use, and with an
adapter of rank 8 in use that changes nothing (so that all three write the same texts). Tokens/s are medians of the
rounds; each round has a cache salt of its own, so none finds its prompts in the prefix cache.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from ranking.synthetic import make_world
from serve.generation.completion import Adapter
from serve.generation.demo_report import world_tasks
from serve.generation.engine import GenerationEngine
from serve.generation.generator import DEFAULT_MAX_TOKENS, Generator
from serve.generation.prompt import GenerationTask
from serve.generation.release import DEMO_FOLDER
from serve.generation.settings import EngineConfig

RESULTS = Path("benchmarks/results/lora.json")
KINDS = ("without", "room for 2", "in use")
ROOM = 2


async def tokens_per_s(generator: Generator, tasks: Sequence[GenerationTask], salt: str) -> float:
    start = time.perf_counter()
    texts = await generator.write(tasks, DEFAULT_MAX_TOKENS, 3600.0, salt)
    return sum(text.completion_tokens for text in texts if text is not None) / (time.perf_counter() - start)


async def measure(tasks: Sequence[GenerationTask], rounds: int, threads: int, folder: Path) -> dict[str, list[float]]:
    adapter = Adapter("idle/1", 1, str(folder))
    engines: dict[str, GenerationEngine] = {}
    try:
        for kind in KINDS:
            engines[kind] = GenerationEngine(EngineConfig(threads=threads, max_loras=0 if kind == "without" else ROOM))
            await engines[kind].start()
        await engines["in use"].load_adapter(adapter)
        adapters = {kind: adapter if kind == "in use" else None for kind in KINDS}
        generators = {
            kind: Generator(engine, adapter_of=lambda task, salt, kind=kind: adapters[kind])  # type: ignore[misc]
            for kind, engine in engines.items()
        }
        found: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for number in range(rounds + 1):  # the first warms up
            for kind, generator in generators.items():
                rate = await tokens_per_s(generator, tasks, f"round-{number}")
                found[kind] += [rate] if number else []
        return found
    finally:
        for engine in engines.values():
            engine.shutdown()


def run(
    texts: int = 512,
    rounds: int = 5,
    seed: int = 0,
    threads: Annotated[int, typer.Option(help="Of each engine.")] = 1,
    quick: bool = False,
    output: Path = RESULTS,
) -> None:
    # Not at the top: vLLM's processes import this file again, and do not start where numba has been imported.
    from serve.adaptation.training import AdapterFit, Settings

    if quick:
        texts, rounds = 64, 1
    console, before = Console(), machine()
    rng = np.random.default_rng(seed)
    tasks = world_tasks(make_world(rng, events=0), texts, rng)
    with tempfile.TemporaryDirectory() as folder, console.status("Writing ..."):
        AdapterFit(str(DEMO_FOLDER), Settings(seed=seed)).save(Path(folder))
        found = asyncio.run(measure(tasks, rounds, threads, Path(folder)))
    medians = {kind: round(float(np.median(rates)), 1) for kind, rates in found.items()}
    table = Table("adapters", "tokens/s", "of that without")
    for kind, rate in medians.items():
        table.add_row(kind, f"{rate:,.0f}", f"{rate / medians['without']:.2f}")
    console.print(table)
    results = {"texts": texts, "rounds": rounds, "seed": seed, "tokens_per_s": medians, "all": found, **before}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(run)

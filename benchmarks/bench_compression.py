"""What does int8 cost in quality, and what does it gain in speed? The demo model for the one, a larger for the other.

    python -m benchmarks.bench_compression

Quality: the demo model and the same in int8 (`attune compress`) write about the same items of a synthetic world;
reported is the share of texts that the check lets pass. Speed: a Qwen3 with random weights (speed does not depend on
them) and the same in int8 take turns in `LLM.generate`, at 1, 16 and 64 sequences at once, one thread; tokens a second
as medians of the rounds with the lowest and the highest. GPU formats are vLLM's own: a folder in AWQ, GPTQ or FP8 as
`generation.engine.model`, or `generation.engine.quantization: fp8` while loading.
"""

import asyncio
import json
import os
import shutil
import statistics
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.bench_throughput import TOKENS, dummy_model
from benchmarks.throughput_peers import Offline
from ranking.synthetic import make_world
from serve.generation.compression import compress
from serve.generation.demo_report import measure, world_tasks
from serve.generation.prompt import build_prompt
from serve.generation.release import DEMO_FOLDER
from serve.generation.settings import EngineConfig

RESULTS = Path("benchmarks/results/compression.json")
WORK = Path(".attune/dummy-models")
REQUESTS = {1: 8, 16: 32, 64: 64}  # of a round
AS_IT_IS, INT8 = "bf16", "int8"


def main(
    texts: int = 1000,
    layers: Annotated[int, typer.Option(help="Of the larger model: 13M parameters each.")] = 16,
    rounds: int = 5,
    output: Path = RESULTS,
) -> None:
    """Measure, print a table, write raw JSON."""
    console, where = Console(), machine()
    rng = np.random.default_rng(0)
    tasks = world_tasks(make_world(rng, events=0), max(texts, *REQUESTS.values()), rng)
    demo = {AS_IT_IS: DEMO_FOLDER, INT8: compressed(DEMO_FOLDER, WORK / "demo-int8", fresh=True)}
    quality = {}
    for name, folder in demo.items():
        with console.status(f"{name} writes {texts} texts ..."):
            quality[name] = asyncio.run(measure(str(folder), tasks[:texts], 1, 64))
        console.print(f"{name}: wrote {texts} texts", highlight=False)
    larger = dummy_model(WORK, layers)
    folders = {AS_IT_IS: larger, INT8: compressed(larger, Path(f"{larger}-int8"))}
    prompts = [build_prompt(task) for task in tasks]
    speed = {str(at_once): in_turn(console, folders, prompts, at_once, rounds) for at_once in REQUESTS}
    report = {
        "machine": {**where, "load_after": os.getloadavg()[0]},
        "megabytes": {name: size_mb(folder) for name, folder in folders.items()},
        "quality": {name: one.as_json() for name, one in quality.items()},
        "tokens_per_s": speed,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    show(console, report)


def compressed(source: Path, target: Path, fresh: bool = False) -> Path:
    """The int8 folder; made once unless it must be `fresh`."""
    if fresh:
        shutil.rmtree(target, ignore_errors=True)
    if not target.exists():
        compress(source, target)
    return target


def in_turn(
    console: Console, folders: dict[str, Path], prompts: list[str], at_once: int, rounds: int
) -> dict[str, list[float]]:
    """Tokens a second of each round; a first round of each warms up."""
    logs, asked = WORK / "offline.log", prompts[: REQUESTS[at_once]]
    found: dict[str, list[float]] = {name: [] for name in folders}
    with ExitStack() as stack:
        engines = {
            name: stack.enter_context(closing(Offline(EngineConfig(kv_cache_gib=2), folder, at_once, logs)))
            for name, folder in folders.items()
        }
        for turn in range(rounds + 1):
            for name, engine in engines.items():
                tokens, seconds = engine.generate(asked, TOKENS)
                if turn:
                    found[name].append(tokens / seconds)
            console.print(f"{at_once} at once: round {turn} of {rounds}", highlight=False)
    return found


def size_mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6, 1)


def show(console: Console, report: dict[str, Any]) -> None:
    """A row a format."""
    table = Table(
        "", "MB", "texts that pass: en, zh", *(f"tokens/s at {at_once}" for at_once in report["tokens_per_s"])
    )
    for name, quality in report["quality"].items():
        shares = ", ".join(f"{share:.1%}" for share in quality["model_share"].values())
        cells = []
        for one in report["tokens_per_s"].values():
            rates = sorted(one[name])
            cells.append(f"{statistics.median(rates):,.0f} ({rates[0]:,.0f}-{rates[-1]:,.0f})")
        table.add_row(name, f"{report['megabytes'][name]:,.1f}", shares, *cells)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

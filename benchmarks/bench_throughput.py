"""Tokens a second of the whole server, beside vLLM's own server and vLLM without any: same model, prompts and settings.

    python -m benchmarks.bench_throughput --state .attune/synthetic-data
    python -m benchmarks.bench_throughput --state .attune/synthetic-data --layers 16   # 200M parameters, random weights

Attune's /v1/completions over HTTP, `vllm serve`'s, and `LLM.generate` take turns, at 1, 16 and 64 requests at once,
whole and streamed. All three have one thread of arithmetic, the same block size and no prefix cache (every round would
hit what the one before it has left). Every request writes a fixed number of tokens. Reported: tokens a second, and the
time to the first token of streamed answers, as medians of the rounds with the lowest and the highest; and the ratios.
"""

import asyncio
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bench_recommend import machine
from benchmarks.throughput_peers import Offline, vllm_serve
from ranking.synthetic import make_world
from serve.commands.run import server_settings, store_in
from serve.commands.server import ready_server
from serve.generation.demo_report import world_tasks
from serve.generation.prompt import build_prompt
from serve.generation.release import DEMO_FOLDER
from serve.generation.settings import EngineConfig

RESULTS = Path("benchmarks/results")
CONCURRENCIES = (1, 16, 64)
TOKENS = 48  # of each answer
REQUESTS = {1: 24, 16: 192, 64: 512}  # of a round
LARGER, QUICK = 4, 8  # so many times fewer of a larger model, or where it is only seen that it runs
ATTUNE, SERVE, OFFLINE = "attune", "vllm serve", "offline"


@dataclass(frozen=True, slots=True)
class Round:
    """`ttft_ms`: median time to the first token, NaN where the answers came whole."""

    tokens_per_s: float
    ttft_ms: float


def main(
    state: Annotated[Path, typer.Option(help="A folder with attune.db and models/, as `attune run` leaves it.")],
    layers: Annotated[int, typer.Option(help="0: the demo model; otherwise random weights, 13M parameters each.")] = 0,
    rounds: int = 5,
    concurrency: Annotated[list[int] | None, typer.Option(help="Instead of 1, 16 and 64.")] = None,
    quick: Annotated[bool, typer.Option(help="Few requests, one round: whether it runs, not a measurement.")] = False,
    dtype: Annotated[
        str, typer.Option(help="auto: as the model is stored. Without instructions for bfloat16, float32 is quicker.")
    ] = "auto",
    output: Annotated[Path | None, typer.Option(help="Default: benchmarks/results/throughput_<model>.json.")] = None,
    config: Path = Path("deploy/serve.yaml"),
) -> None:
    """Measure, print a table, write raw JSON."""
    console, where = Console(), machine()
    model = dummy_model(Path(".attune/dummy-models"), layers) if layers else DEMO_FOLDER.resolve()
    engine = EngineConfig(model=str(model), dtype=dtype, enable_prefix_caching=False, kv_cache_gib=2 if layers else 1)
    tasks = world_tasks(
        make_world(np.random.default_rng(0), events=0), max(REQUESTS.values()), np.random.default_rng(0)
    )
    prompts = [build_prompt(task) for task in tasks]
    logs = Path(".attune/logs")
    path = output or RESULTS / f"throughput_{'dummy' if layers else 'demo'}.json"
    for folder in (logs, path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    http, settings = server_settings(config, store_in(state), state, evaluation=False)
    settings = settings.model_copy(update={"generation": settings.generation.model_copy(update={"engine": engine})})
    results: dict[str, list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        urls = {SERVE: stack.enter_context(vllm_serve(engine, model, logs / "vllm-serve.log"))}
        urls[ATTUNE] = stack.enter_context(ready_server(console, settings, http.on_port(0)))
        for at_once in concurrency or CONCURRENCIES:
            fewer = QUICK if quick else LARGER if layers else 1
            number = 1 if quick else rounds
            asked = prompts[: max(at_once, REQUESTS[at_once] // fewer)]
            with closing(Offline(engine, model, at_once, logs / "vllm-offline.log")) as offline:
                for name, measured in _in_turn(console, urls, offline, asked, at_once, number).items():
                    results[f"{name} @ {at_once}"] = [asdict(one) for one in measured]
            where["load_after"] = os.getloadavg()[0]
            report = {"machine": where, "model": model.name, "dtype": dtype, "tokens": TOKENS, "rounds": rounds}
            text = json.dumps({**report, "results": results}, indent=1)
            path.write_text(text + "\n")  # each time: a larger model takes an hour
    show(console, results)


def _in_turn(
    console: Console, urls: dict[str, str], offline: Offline, prompts: Sequence[str], at_once: int, rounds: int
) -> dict[str, list[Round]]:
    """All ways of asking, one after the other, again and again; a first turn warms up and is not counted."""

    def without_server() -> Round:
        tokens, seconds = offline.generate(prompts, TOKENS)
        return Round(tokens / seconds, float("nan"))

    def over_http(url: str, stream: bool) -> Callable[[], Round]:
        return lambda: asyncio.run(asked_over_http(url, prompts, at_once, stream))

    ways: dict[str, Callable[[], Round]] = {OFFLINE: without_server}
    for name, url in urls.items():
        ways |= {name: over_http(url, False), f"{name}, streamed": over_http(url, True)}
    found: dict[str, list[Round]] = {name: [] for name in ways}
    turns = [(turn, name) for turn in range(rounds + 1) for name in ways]
    for turn, name in track(turns, f"{at_once} at once", console=console):
        measured = ways[name]()
        if turn:
            found[name].append(measured)
    return found


async def asked_over_http(url: str, prompts: Sequence[str], at_once: int, stream: bool) -> Round:
    """Closed loop over all prompts. Raises `RuntimeError` when an answer is not whole."""
    waiting, tokens, firsts = list(prompts), 0, []
    body: dict[str, Any] = {"max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}

    async def caller(client: aiohttp.ClientSession) -> None:
        nonlocal tokens
        while waiting:
            start = time.perf_counter()
            async with client.post("/v1/completions", json={**body, "prompt": waiting.pop()}) as answer:
                if answer.status != 200:
                    raise RuntimeError(f"{url}: {answer.status}: {await answer.text()}")
                written, first = await _streamed(answer) if stream else (await _whole(answer), float("nan"))
            if written != TOKENS:
                raise RuntimeError(f"{url}: {written} tokens instead of {TOKENS}")
            tokens += written
            firsts.append(1000 * (first - start))

    connector = aiohttp.TCPConnector(limit=at_once)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as client:
        async with client.get("/v1/models") as answer:
            body["model"] = (await answer.json())["data"][0]["id"]
        start = time.perf_counter()
        await asyncio.gather(*(caller(client) for _ in range(at_once)))
        return Round(tokens / (time.perf_counter() - start), statistics.median(firsts))


async def _whole(answer: aiohttp.ClientResponse) -> int:
    return int((await answer.json())["usage"]["completion_tokens"])


async def _streamed(answer: aiohttp.ClientResponse) -> tuple[int, float]:
    """(tokens, perf_counter seconds of the first)."""
    first, tokens = float("nan"), 0
    async for line in answer.content:
        if not line.startswith(b"data: {"):
            continue
        first = time.perf_counter() if math.isnan(first) else first
        if b'"usage":{' in line or b'"usage": {' in line:
            usage = json.loads(line[6:])["usage"]
            tokens = int(usage["completion_tokens"])
    return tokens, first


def dummy_model(folder: Path, layers: int) -> Path:
    """A Qwen3 of so many layers, 1,024 wide, with random weights and the demo model's tokenizer; made once."""
    target = (folder / f"qwen3-{layers}x1024").resolve()
    if (target / "model.safetensors").exists():
        return target
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(DEMO_FOLDER))
    shape = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    Qwen3ForCausalLM(shape).to(torch.bfloat16).save_pretrained(str(target))
    tokenizer.save_pretrained(str(target))
    return target


def show(console: Console, results: dict[str, list[dict[str, Any]]]) -> None:
    """A row a way of asking, medians with their spread, and the ratios that matter."""
    table = Table("", "tokens/s (lowest-highest)", "first token, ms (lowest-highest)", "of offline", "of vllm serve")
    middle = {name: statistics.median(one["tokens_per_s"] for one in rounds) for name, rounds in results.items()}
    for name, rounds in results.items():
        way, _, at_once = name.partition(" @ ")
        peer = way.replace(ATTUNE, SERVE)
        against = f"{middle[name] / middle[f'{peer} @ {at_once}']:.2f}" if peer != way else ""
        of_offline = f"{middle[name] / middle[f'{OFFLINE} @ {at_once}']:.2f}"
        table.add_row(name, _spread(rounds, "tokens_per_s"), _spread(rounds, "ttft_ms"), of_offline, against)
    console.print(table)


def _spread(rounds: Sequence[dict[str, Any]], key: str) -> str:
    values = sorted(one[key] for one in rounds)
    if math.isnan(values[0]):
        return ""
    return f"{statistics.median(values):,.4g} ({values[0]:,.3g}-{values[-1]:,.3g})"


if __name__ == "__main__":
    typer.run(main)

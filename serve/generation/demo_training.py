"""Trains the demo model from nothing on one CPU core: `attune demo-model build`."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch.nn import functional

from serve.generation.demo_architecture import DemoModel, Shape, from_hugging_face, start_as_copier
from serve.generation.demo_batches import Tokens, batches, tensors
from serve.generation.demo_export import export
from serve.generation.demo_optimizer import MuonWithAdam
from serve.generation.demo_tokenizer import VOCABULARY, train_tokenizer

SAVE_EVERY_S = 120.0
WARM_UP_STEPS = 30


@dataclass(slots=True)
class Run:
    """Where a training run stands: everything beside the weights that a checkpoint keeps."""

    seed: int
    step: int = 0
    pool: int = 0
    elapsed_s: float = 0.0
    tokens: int = 0
    losses: list[float] = field(default_factory=list)


def build(
    out: Path,
    minutes: float,
    threads: int,
    seed: int = 0,
    resume: bool = False,
    work: Path | None = None,
    start: Path | None = None,
    rate: float = 1.0,
) -> None:
    """Train for so many minutes (learning rates fall to zero at the end) and write the model folder `out`.

    Minutes are processor time, so that a busy machine trains as much as an idle one, only later.
    Checkpoints are kept in `work` (default: .attune/demo-model); with `resume` training goes on from the last one.
    `start` is a model folder whose weights and tokenizer are trained on, on other rows: give another seed.
    `rate` is the highest share of the full learning rates; well below 1 for a model that has been trained already.
    """
    torch.set_num_threads(threads)
    work = work or Path(".attune/demo-model")
    work.mkdir(parents=True, exist_ok=True)
    model = DemoModel(Shape(vocabulary=VOCABULARY))
    optimizer = MuonWithAdam(model)
    run = Run(seed)
    if resume and (work / "checkpoint.safetensors").exists():
        tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
        _restore(work, model, optimizer, run)
    elif start is not None:
        tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
        tokenizer.save(str(work / "tokenizer.json"))
        from_hugging_face(model, load_file(str(start / "model.safetensors")))
    else:
        tokenizer = train_tokenizer(seed)
        tokenizer.save(str(work / "tokenizer.json"))
        torch.manual_seed(seed)
        model = DemoModel(Shape(vocabulary=VOCABULARY))
        start_as_copier(model, seed)
        optimizer = MuonWithAdam(model)
    _train(model, optimizer, tokenizer, run, minutes * 60.0, work, rate)
    training = {
        "seed": run.seed,
        "steps": run.step,
        "tokens": run.tokens,
        "minutes": round(run.elapsed_s / 60, 1),
        "loss": round(_recent(run.losses), 4),
    }
    export(model, tokenizer, out, training)


def _train(
    model: DemoModel,
    optimizer: MuonWithAdam,
    tokenizer: Tokenizer,
    run: Run,
    budget_s: float,
    work: Path,
    rate: float,
) -> None:
    forward = torch.compile(model, dynamic=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    saved_at = run.elapsed_s
    with Progress(*columns, refresh_per_second=0.2) as progress:
        bar = progress.add_task("demo model", total=budget_s, completed=int(run.elapsed_s), state="")
        while run.elapsed_s < budget_s:
            for rows in batches(tokenizer, run.seed, run.pool):
                started = time.process_time()
                loss = _step(model, forward, optimizer, rows, rate * _rate(run, budget_s))
                run.elapsed_s += (time.process_time() - started) / torch.get_num_threads()
                run.step += 1
                run.tokens += sum(len(row) for row, _ in rows)
                run.losses.append(loss)
                state = f"step {run.step}  loss {_recent(run.losses):.4f}  {run.tokens / run.elapsed_s:,.0f} tokens/s"
                progress.update(bar, completed=min(run.elapsed_s, budget_s), state=state)
                if run.elapsed_s >= budget_s:
                    break
            run.pool += 1
            if run.elapsed_s - saved_at > SAVE_EVERY_S:
                _save(work, model, optimizer, run)
                progress.console.print(state)
                saved_at = run.elapsed_s
    _save(work, model, optimizer, run)


def _step(
    model: DemoModel,
    forward: torch.nn.Module,
    optimizer: MuonWithAdam,
    rows: Sequence[Tokens],
    rate: float,
) -> float:
    """One update on rows (tokens, where the answer begins); returns the mean loss of answer tokens, in nats."""
    tokens, positions, targets = tensors(rows)
    with torch.autocast("cpu", torch.bfloat16):
        states = forward(tokens).flatten(0, 1)[positions]
        scores = model.logits(states)
    loss = functional.cross_entropy(scores.float(), targets)
    loss.backward()
    optimizer.step(rate)
    return float(loss.detach())


def _rate(run: Run, budget_s: float) -> float:
    """Share of the full learning rate: a short warm-up, then a straight line to zero at the end of the time."""
    return min(1.0, (run.step + 1) / WARM_UP_STEPS) * max(0.02, 1.0 - run.elapsed_s / budget_s)


def _recent(losses: Sequence[float]) -> float:
    return float(np.mean(losses[-20:])) if losses else math.nan


def _save(work: Path, model: DemoModel, optimizer: MuonWithAdam, run: Run) -> None:
    tensors = {f"model.{name}": value.detach() for name, value in model.named_parameters()}
    tensors |= {f"optimizer.{name}": value for name, value in optimizer.state().items()}
    numbers = {"seed": run.seed, "step": run.step, "pool": run.pool, "elapsed_s": run.elapsed_s, "tokens": run.tokens}
    draft = work / "checkpoint.tmp"
    save_file(tensors, str(draft), metadata={name: str(value) for name, value in numbers.items()})
    draft.replace(work / "checkpoint.safetensors")


def _restore(work: Path, model: DemoModel, optimizer: MuonWithAdam, run: Run) -> None:
    path = str(work / "checkpoint.safetensors")
    tensors = load_file(path)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(tensors[f"model.{name}"])
    optimizer.restore({name.removeprefix("optimizer."): value for name, value in tensors.items()})
    with safe_open(path, "pt") as handle:
        numbers = handle.metadata()
    run.seed, run.step, run.pool = int(numbers["seed"]), int(numbers["step"]), int(numbers["pool"])
    run.elapsed_s, run.tokens = float(numbers["elapsed_s"]), int(numbers["tokens"])

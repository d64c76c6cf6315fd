"""A LoRA fitted to preference pairs, with `peft`; a language model is changed by it as little as the pairs ask for.

Hu et al. 2021, "LoRA": W x + (alpha / r) B A x, of which only A and B are learned. The loss of a pair of texts y_w
(chosen) and y_l (rejected) to a prompt x is

    - log sigmoid(beta (log pi(y_w|x) / ref(y_w|x) - log pi(y_l|x) / ref(y_l|x))) - log pi(y_w|x) / |y_w|

The first part is DPO (Rafailov et al. 2023, "Direct Preference Optimization", equation 7), `ref` being the model as
it was. Alone it may push both texts down; the second part, weight 1, holds the chosen one up (Pang et al. 2024,
"Iterative Reasoning Preference Optimization", equation 1).
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from interest.batch import Doubles
from interest.errors import InvalidConfig
from serve.adaptation.pairs import Pair

BETA = 0.1
OPENINGS = ("", " ")  # what may stand between a prompt and the text, which a reply does not keep
OPENINGS_TRIED_ON = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one fit."""

    seed: int = 0
    rank: int = 8
    # Of AdamW at its highest: it rises for a tenth of the steps and falls to zero at the end. At 1e-3 a fifth of the
    # demo model's texts are untrue.
    rate: float = 3e-4
    epochs: int = 2
    batch_pairs: int = 16
    minutes: float = 10.0  # it ends by then, wherever it is
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of one pair; the texts end with the model's end mark."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


class AdapterFit:
    """The model of one folder (or hub id) with an adapter that has learned nothing yet."""

    def __init__(self, model: str, settings: Settings) -> None:
        """Same seed and same pairs, same adapter, unless the minutes end it. Raises `InvalidConfig` without `peft`."""
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise InvalidConfig("attune adapt needs the extra: pip install attune[adapt]") from error
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        self._settings = settings
        self._name = Path(model).name
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        kind = torch.bfloat16 if self._device == "cuda" else torch.float32
        base = AutoModelForCausalLM.from_pretrained(model, dtype=kind).to(self._device)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        end = base.generation_config.eos_token_id
        self._end = int(end[0] if isinstance(end, list) else end)
        lora = LoraConfig(r=settings.rank, lora_alpha=2 * settings.rank, target_modules="all-linear")
        self._model: Any = get_peft_model(base, lora)

    def examples(self, pairs: Sequence[Pair], prompts: Sequence[list[int]]) -> list[Example]:
        """Texts begin as the model itself would begin them: by what makes its own, the rejected ones, likelier."""
        tried = [self._encoded(pairs[:OPENINGS_TRIED_ON], prompts, opening) for opening in OPENINGS]
        likely = [sum(rejected for _, rejected in self._scores(some, adapted=False)) for some in tried]
        return self._encoded(pairs, prompts, OPENINGS[int(np.argmax(likely))])

    def fit(self, examples: Sequence[Example], told: Callable[[float, str], None]) -> int:
        """Learn; `told` hears the share done and the loss of late. Returns the number of steps made."""
        settings = self._settings
        rng = np.random.default_rng(settings.seed)
        reference = self._scores(examples, adapted=False)
        weights = [value for value in self._model.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=settings.rate, weight_decay=0.0)
        size = settings.batch_pairs
        total = settings.epochs * -(-len(examples) // size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.rate, total_steps=total + 1, pct_start=0.1, cycle_momentum=False
        )
        self._model.train()
        start, step, late = time.monotonic(), 0, 0.0
        for _ in range(settings.epochs):
            order = rng.permutation(len(examples))
            for first in range(0, len(order), size):
                spent = (time.monotonic() - start) / (60 * settings.minutes)
                if spent >= 1:
                    return step
                rows = order[first : first + size].tolist()
                loss = self._loss([examples[row] for row in rows], [reference[row] for row in rows])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                step += 1
                late = float(loss.detach()) if step == 1 else 0.95 * late + 0.05 * float(loss.detach())
                told(max(step / total, spent), f"step {step} of {total}  loss {late:.3f}")
        return step

    def margins(self, examples: Sequence[Example]) -> Doubles:
        """beta (log pi / ref of the chosen - that of the rejected), float64 [n]: the reward that DPO implies, its
        equation 5, of one text over the other; above 0 where the adapter prefers as the users did."""
        adapted = np.array(self._scores(examples, adapted=True))
        before = np.array(self._scores(examples, adapted=False))
        moved = (adapted - before) * BETA
        found: Doubles = moved[:, 0] - moved[:, 1]
        return found

    def save(self, folder: Path) -> None:
        """In peft's layout, which vLLM reads; no path of this machine goes along."""
        self._model.save_pretrained(str(folder))
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": self._name}, indent=2))

    def _encoded(self, pairs: Sequence[Pair], prompts: Sequence[list[int]], opening: str) -> list[Example]:
        def ids(text: str) -> list[int]:
            return [*self._tokenizer.encode(opening + text, add_special_tokens=False), self._end]

        return [
            Example(prompt, ids(pair.chosen), ids(pair.rejected))
            for pair, prompt in zip(pairs, prompts[: len(pairs)], strict=True)
        ]

    def _loss(self, examples: Sequence[Example], reference: Sequence[tuple[float, float]]) -> Tensor:
        chosen, rejected = self._likelihoods(examples)
        ref = torch.tensor(reference, device=self._device)
        preferred = functional.logsigmoid(BETA * ((chosen - ref[:, 0]) - (rejected - ref[:, 1])))
        lengths = torch.tensor([len(one.chosen) for one in examples], device=self._device)
        return -(preferred + chosen / lengths).mean()

    def _scores(self, examples: Sequence[Example], adapted: bool) -> list[tuple[float, float]]:
        """Log-likelihoods (chosen, rejected) of each example, with the adapter or without."""
        self._model.eval()
        found: list[tuple[float, float]] = []
        with torch.no_grad():
            for first in range(0, len(examples), self._settings.batch_pairs):
                part = examples[first : first + self._settings.batch_pairs]
                if adapted:
                    both = self._likelihoods(part)
                else:
                    with self._model.disable_adapter():
                        both = self._likelihoods(part)
                found += zip(*(one.tolist() for one in both), strict=True)
        return found

    def _likelihoods(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """Summed log-probabilities [n] of the chosen and of the rejected texts."""
        rows = [(one.prompt, text) for one in examples for text in (one.chosen, one.rejected)]
        length = max(len(prompt) + len(text) for prompt, text in rows)
        tokens = torch.zeros(len(rows), length, dtype=torch.int64)
        seen = torch.zeros(len(rows), length, dtype=torch.int64)
        told = torch.zeros(len(rows), length - 1, dtype=torch.bool)  # places before a token of the text
        for number, (prompt, text) in enumerate(rows):
            end = len(prompt) + len(text)
            tokens[number, :end] = torch.tensor([*prompt, *text])
            seen[number, :end] = 1
            told[number, len(prompt) - 1 : end - 1] = True
        tokens, seen, told = (one.to(self._device) for one in (tokens, seen, told))
        states = self._model(input_ids=tokens, attention_mask=seen).logits[:, :-1]
        scores = functional.log_softmax(states[told].float(), dim=-1)
        found = torch.zeros(told.shape, device=self._device)
        found[told] = scores.gather(1, tokens[:, 1:][told].unsqueeze(1)).squeeze(1)
        sums = found.sum(dim=1)
        return sums[::2], sums[1::2]

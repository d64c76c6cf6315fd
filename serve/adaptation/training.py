"""A LoRA fitted to the texts that a prompt is to be answered by, with `peft`.

Hu et al. 2021, "LoRA": W x + (alpha / r) B A x, of which only A and B are learned. The loss of a text y to a prompt x
is - log pi(y|x) / |y|. What is learned was written by the model itself (`lessons`), and in half of all cases for this
very prompt: nothing else needs to hold the adapter near the model.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from interest.errors import InvalidConfig
from serve.adaptation.lessons import Lesson

OPENINGS = ("", " ")  # what may stand between a prompt and the text, which a reply does not keep
OPENINGS_TRIED_ON = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one fit."""

    seed: int = 0
    rank: int = 8
    rate: float = 1e-3  # of AdamW at its highest: it rises for a tenth of the steps and falls to zero at the end
    steps: int = 250
    batch: int = 16  # texts a step
    minutes: float = 10.0  # it ends by then, wherever it is
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids; the text ends with the model's end mark."""

    prompt: list[int]
    text: list[int]


class AdapterFit:
    """The model of one folder (or hub id) with an adapter that has learned nothing yet."""

    def __init__(self, model: str, settings: Settings) -> None:
        """Same seed and lessons, same adapter, unless the minutes end it. Raises `InvalidConfig` without `peft`."""
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

    def examples(self, lessons: Sequence[Lesson], prompts: Sequence[list[int]]) -> list[Example]:
        """Texts begin as the model itself would begin them: by what makes its own likelier. `prompts`: one a lesson."""
        own = [place for place, lesson in enumerate(lessons) if lesson.own][:OPENINGS_TRIED_ON]
        tried = [
            self._encoded([lessons[place] for place in own], [prompts[place] for place in own], opening)
            for opening in OPENINGS
        ]
        with torch.no_grad(), self._model.disable_adapter():
            likely = [float(self._likelihoods(some).sum()) if some else 0.0 for some in tried]
        return self._encoded(lessons, prompts, OPENINGS[int(np.argmax(likely))])

    def fit(self, examples: Sequence[Example], told: Callable[[float, str], None]) -> int:
        """Learn; `told` hears the share done and the loss of late. Returns the number of steps made."""
        settings = self._settings
        rng = np.random.default_rng(settings.seed)
        weights = [value for value in self._model.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=settings.rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.rate, total_steps=settings.steps + 1, pct_start=0.1, cycle_momentum=False
        )
        self._model.train()
        start, late = time.monotonic(), 0.0
        for step, rows in enumerate(_batches(len(examples), settings.batch, settings.steps, rng)):
            spent = (time.monotonic() - start) / (60 * settings.minutes)
            if spent >= 1:
                return step
            loss = self._loss([examples[row] for row in rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            late = float(loss.detach()) if step == 0 else 0.95 * late + 0.05 * float(loss.detach())
            told(max((step + 1) / settings.steps, spent), f"step {step + 1} of {settings.steps}  loss {late:.3f}")
        return settings.steps

    def save(self, folder: Path) -> None:
        """In peft's layout, which vLLM reads; no path of this machine goes along."""
        self._model.save_pretrained(str(folder))
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": self._name}, indent=2))

    def _encoded(self, lessons: Sequence[Lesson], prompts: Sequence[list[int]], opening: str) -> list[Example]:
        return [
            Example(prompt, [*self._tokenizer.encode(opening + lesson.text, add_special_tokens=False), self._end])
            for lesson, prompt in zip(lessons, prompts, strict=True)
        ]

    def _loss(self, examples: Sequence[Example]) -> Tensor:
        lengths = torch.tensor([len(one.text) for one in examples], device=self._device)
        return -(self._likelihoods(examples) / lengths).mean()

    def _likelihoods(self, examples: Sequence[Example]) -> Tensor:
        """Summed log-probabilities [n] of the texts."""
        length = max(len(one.prompt) + len(one.text) for one in examples)
        longest = max(len(one.text) for one in examples)
        tokens = torch.zeros(len(examples), length, dtype=torch.int64)
        seen = torch.zeros(len(examples), length, dtype=torch.int64)
        told = torch.zeros(len(examples), longest, dtype=torch.bool)
        for number, one in enumerate(examples):  # all end together: what is told is at the end of every row
            row = [*one.prompt, *one.text]
            tokens[number, length - len(row) :] = torch.tensor(row)
            seen[number, length - len(row) :] = 1
            told[number, longest - len(one.text) :] = True
        places = (seen.cumsum(dim=1) - 1).clamp(min=0)
        tokens, seen, told, places = (one.to(self._device) for one in (tokens, seen, told, places))
        found = self._model(
            input_ids=tokens, attention_mask=seen, position_ids=places, logits_to_keep=longest + 1
        ).logits[:, :-1]
        scores = torch.zeros(told.shape, device=self._device)
        likely = functional.log_softmax(found[told].float(), dim=-1)
        scores[told] = likely.gather(1, tokens[:, -longest:][told].unsqueeze(1)).squeeze(1)
        return scores.sum(dim=1)


def _batches(count: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """So many lists of `size` of the places 0 to `count` - 1, all of them before any comes again."""
    order: list[int] = []
    for _ in range(steps):
        while len(order) < size:
            order += rng.permutation(count).tolist()
        yield order[:size]
        order = order[size:]

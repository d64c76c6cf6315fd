"""The fit on the demo model: it learns which of two texts to prefer, the same with the same seed, and ends in time."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from interest.errors import InvalidConfig
from serve.adaptation.pairs import Pair
from serve.adaptation.training import AdapterFit, Example, Settings
from serve.generation.prompt import GenerationTask, ItemFacts, build_prompt
from serve.generation.release import DEMO_FOLDER
from serve.generation.templates import template_text

pytestmark = pytest.mark.thorough
FOLDER = str(DEMO_FOLDER)
TOKENIZER = Tokenizer.from_file(str(DEMO_FOLDER / "tokenizer.json"))


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


def pairs(count: int) -> list[Pair]:
    """The shorter of two of the grammar's own texts is the chosen one."""
    found = []
    for number in range(count):
        item = ItemFacts(title=f"Copper Lamp {number}", domain="e-commerce", tags=("brass",))
        tasks = [GenerationTask(item=item, variant=variant) for variant in range(6)]
        texts = sorted({template_text(task) for task in tasks}, key=len)
        task = next(task for task in tasks if template_text(task) == texts[-1])
        found.append(Pair(item_id=f"i{number}", user="u", task=task, chosen=texts[0], rejected=texts[-1]))
    return found


def prompts(some: Sequence[Pair]) -> list[list[int]]:
    return [TOKENIZER.encode(build_prompt(pair.task)).ids for pair in some]


def fitted(settings: Settings, count: int = 24) -> tuple[AdapterFit, list[Example], int]:
    fit, some = AdapterFit(FOLDER, settings), pairs(count)
    examples = fit.examples(some, prompts(some))
    return fit, examples, fit.fit(examples[: count * 2 // 3], lambda done, state: None)


def test_what_was_learned_is_preferred_about_other_items_too() -> None:
    fit = AdapterFit(FOLDER, Settings())
    some = pairs(4)
    assert np.array_equal(fit.margins(fit.examples(some, prompts(some))), np.zeros(4))
    fit, examples, steps = fitted(Settings(epochs=4, batch_pairs=4))
    assert steps == 16
    margins = fit.margins(examples)
    assert (margins[:16] > 0).all()
    assert (margins[16:] > 0).mean() > 0.5


def test_the_same_seed_gives_the_same_adapter_in_the_layout_that_vllm_reads(tmp_path: Path) -> None:
    for name in ("first", "second"):
        fit, _, _ = fitted(Settings(epochs=1, batch_pairs=8), count=12)
        fit.save(tmp_path / name)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    config = (tmp_path / "first" / "adapter_config.json").read_text()
    assert FOLDER not in config


def test_it_ends_when_its_minutes_are_over() -> None:
    _, _, steps = fitted(Settings(minutes=1e-9))
    assert steps == 0


def test_texts_begin_as_the_model_begins_them() -> None:
    fit, some = AdapterFit(FOLDER, Settings()), pairs(2)
    (example, _) = fit.examples(some, prompts(some))
    end = fit._model.generation_config.eos_token_id
    assert example.rejected[-1] == end
    assert TOKENIZER.decode(example.rejected[:-1]).strip() == some[0].rejected


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InvalidConfig, match=r"attune\[adapt\]"):
        AdapterFit(FOLDER, Settings())

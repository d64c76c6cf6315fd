"""The fit on the demo model: it learns what to write, the same with the same seed, and ends in time."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from interest.errors import InvalidConfig
from serve.adaptation.lessons import Lesson
from serve.adaptation.training import AdapterFit, Settings, _batches
from serve.generation.prompt import GenerationTask, ItemFacts, build_prompt
from serve.generation.release import DEMO_FOLDER
from serve.generation.templates import template_text

pytestmark = pytest.mark.thorough
FOLDER = str(DEMO_FOLDER)
TOKENIZER = Tokenizer.from_file(str(DEMO_FOLDER / "tokenizer.json"))


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


def taught(count: int) -> list[Lesson]:
    """Whatever plan the prompt names, the shortest of all texts that the grammar has for the item."""
    found = []
    for number in range(count):
        tasks = [GenerationTask(item=item(number), variant=variant) for variant in range(24)]
        best = min((template_text(task) for task in tasks), key=len)
        found += [Lesson(task, best, own=template_text(task) == best) for task in tasks[:6]]
    return found


def item(number: int) -> ItemFacts:
    return ItemFacts(title=f"Copper Lamp {number}", domain="e-commerce", tags=("brass",))


def prompts(some: Sequence[Lesson]) -> list[list[int]]:
    return [TOKENIZER.encode(build_prompt(lesson.task)).ids for lesson in some]


def fitted(settings: Settings, some: Sequence[Lesson]) -> tuple[AdapterFit, int]:
    fit = AdapterFit(FOLDER, settings)
    return fit, fit.fit(fit.examples(some, prompts(some)), lambda done, state: None)


def written(fit: AdapterFit, prompt: list[int]) -> str:
    with torch.no_grad():
        ids = fit._model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=40, do_sample=False)
    return TOKENIZER.decode(ids[0, len(prompt) :].tolist(), skip_special_tokens=True)


def test_what_was_learned_is_written_about_other_items_too() -> None:
    some = taught(24)
    known, others = some[:120], [lesson for lesson in some[120:] if not lesson.own]
    untaught = AdapterFit(FOLDER, Settings())
    fit, steps = fitted(Settings(steps=40, batch=8), known)
    assert steps == 40
    before = [written(untaught, prompt) == lesson.text for lesson, prompt in zip(others, prompts(others), strict=True)]
    after = [written(fit, prompt) == lesson.text for lesson, prompt in zip(others, prompts(others), strict=True)]
    assert sum(before) == 0
    assert sum(after) >= 0.8 * len(others) > 10


def test_the_same_seed_gives_the_same_adapter_in_the_layout_that_vllm_reads(tmp_path: Path) -> None:
    for name in ("first", "second"):
        fit, _ = fitted(Settings(steps=2, batch=8), taught(2))
        fit.save(tmp_path / name)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    config = (tmp_path / "first" / "adapter_config.json").read_text()
    assert FOLDER not in config


def test_it_ends_when_its_minutes_are_over() -> None:
    assert fitted(Settings(minutes=1e-9), taught(1))[1] == 0


def test_texts_begin_as_the_model_begins_them() -> None:
    fit, some = AdapterFit(FOLDER, Settings()), taught(2)
    example = fit.examples(some, prompts(some))[0]
    end = fit._model.generation_config.eos_token_id
    assert example.text[-1] == end
    assert TOKENIZER.decode(example.text[:-1]) == some[0].text


def test_every_example_is_learned_from_before_one_comes_again() -> None:
    rows = [row for batch in _batches(5, 2, 5, np.random.default_rng(0)) for row in batch]
    assert sorted(rows[:5]) == sorted(rows[5:]) == list(range(5))


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InvalidConfig, match=r"attune\[adapt\]"):
        AdapterFit(FOLDER, Settings())

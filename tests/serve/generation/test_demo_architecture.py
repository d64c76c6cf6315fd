"""The demo model's architecture: it can copy before it is trained, and it is the Qwen3 that others implement."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from serve.generation.demo_architecture import (
    DemoModel,
    Shape,
    hugging_face_config,
    start_as_copier,
    to_hugging_face,
)


def repeated(vocabulary: int) -> torch.Tensor:
    """Random tokens, twice: int64 [8, 80]."""
    once = torch.randint(0, vocabulary, (8, 40), generator=torch.Generator().manual_seed(3))
    return torch.cat((once, once), dim=1)


def accuracy_on_repeats(model: DemoModel) -> float:
    tokens = repeated(model.shape.vocabulary)
    with torch.no_grad():
        guesses = model.logits(model(tokens)[:, 41:-1]).argmax(-1)
    return float((guesses == tokens[:, 42:]).float().mean())


def test_the_structured_start_repeats_random_tokens_without_training() -> None:
    torch.manual_seed(0)
    model = DemoModel(Shape(vocabulary=1000))
    assert accuracy_on_repeats(model) < 0.05
    start_as_copier(model, seed=0)
    assert accuracy_on_repeats(model) > 0.98


def test_the_structured_start_refuses_sizes_that_it_is_not_laid_out_for() -> None:
    with pytest.raises(ValueError, match="hidden=128"):
        start_as_copier(DemoModel(Shape(vocabulary=100, hidden=128, heads=2)), seed=0)


def test_padding_on_the_right_changes_nothing_before_it() -> None:
    model = DemoModel(Shape(vocabulary=300, max_positions=64))
    start_as_copier(model, seed=0)
    tokens = repeated(300)[:2, :30]
    padded = torch.cat((tokens, torch.zeros(2, 10, dtype=torch.int64)), dim=1)
    with torch.no_grad():
        assert float((model(padded)[:, :30] - model(tokens)).abs().max()) < 1e-4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_hugging_face_reads_the_saved_weights_to_the_same_scores(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    shape = Shape(vocabulary=300)
    model = DemoModel(shape)
    start_as_copier(model, seed=0)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_((value + 0.02 * torch.randn_like(value)).bfloat16().float())
    save_file(to_hugging_face(model), str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(hugging_face_config(shape, 1, 0)))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    tokens = repeated(300)
    with torch.no_grad():
        assert float((model.logits(model(tokens)) - theirs(tokens).logits).abs().max()) < 5e-3

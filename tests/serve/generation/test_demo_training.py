"""The training of the demo model: batches, one step, checkpoints, and the folder that comes out."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from serve.generation import demo_training
from serve.generation.demo_architecture import DemoModel, Shape, from_hugging_face, start_as_copier
from serve.generation.demo_batches import batches
from serve.generation.demo_corpus import random_row
from serve.generation.demo_export import export
from serve.generation.demo_optimizer import MuonWithAdam, orthogonal
from serve.generation.demo_tokenizer import END, train_tokenizer
from serve.generation.demo_training import Run
from serve.generation.prompt import PROMPT_VERSION

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(seed=0, rows=300)


def small_model(tokenizer: Tokenizer) -> DemoModel:
    torch.manual_seed(0)
    model = DemoModel(Shape(vocabulary=tokenizer.get_vocab_size(), layers=2, feed_forward=64))
    start_as_copier(model, seed=0)
    return model


def test_a_title_is_cut_into_the_same_tokens_in_prompt_and_answer(tokenizer: Tokenizer) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        row = random_row(rng)
        language_mark = "“" if "“" in row.prompt else '"'
        closing = "”" if language_mark == "“" else '"'
        title = row.prompt.split(language_mark, 1)[1].split(closing, 1)[0]
        alone = tokenizer.encode(title).tokens
        for text in (row.prompt, row.answer):
            tokens = tokenizer.encode(text).tokens
            assert any(tokens[at : at + len(alone)] == alone for at in range(len(tokens))), title


@pytest.mark.parametrize(
    "text", ['He said "yes", 1999–2024: ok?', "白色 T恤“甲”（第12版）…", "émigré 🙂 tab\tnew\nline"]
)
def test_every_text_survives_encoding(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_a_few_steps_lower_the_loss_and_a_checkpoint_goes_on_where_it_stopped(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model, run = small_model(tokenizer), Run(seed=1)
    optimizer = MuonWithAdam(model)
    rows = [row for row in next(batches(tokenizer, 1, 0)) if len(row[0]) < 120][:6]
    losses = [demo_training._step(model, model, optimizer, rows, rate=1.0) for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]
    run.step, run.elapsed_s, run.tokens = 6, 12.5, 700
    demo_training._save(tmp_path, model, optimizer, run)
    other, again = small_model(tokenizer), Run(seed=9)
    kept = MuonWithAdam(other)
    demo_training._restore(tmp_path, other, kept, again)
    assert (again.seed, again.step, again.elapsed_s, again.tokens) == (1, 6, 12.5, 700)
    next_losses = [
        demo_training._step(each, each, one, rows, rate=1.0) for each, one in ((model, optimizer), (other, kept))
    ]
    assert next_losses[0] == pytest.approx(next_losses[1], rel=1e-4)


def test_muon_moves_singular_values_near_one() -> None:
    stack = torch.randn(2, 48, 32, generator=torch.Generator().manual_seed(0))
    for turned in (stack, stack.transpose(1, 2)):
        values = torch.linalg.svdvals(orthogonal(turned))
        assert float(values.median()) == pytest.approx(1.0, abs=0.35)
        assert float(values.max()) < 1.5


def test_the_rate_warms_up_and_falls_to_the_end() -> None:
    rates = [demo_training._rate(Run(0, step=step, elapsed_s=step * 1.0), 200.0) for step in range(200)]
    assert rates[0] < 0.05
    assert int(np.argmax(rates)) == demo_training.WARM_UP_STEPS - 1
    assert rates[-1] == pytest.approx(0.02)


def test_the_exported_folder_says_what_it_is(tokenizer: Tokenizer, tmp_path: Path) -> None:
    export(small_model(tokenizer), tokenizer, tmp_path, {"tokens": 3_200_000, "minutes": 7.1})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "MODEL_CARD.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "prompt_version.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    version = json.loads((tmp_path / "prompt_version.json").read_text())
    assert version == {"prompt_version": PROMPT_VERSION, "training": {"tokens": 3_200_000, "minutes": 7.1}}
    assert "in 7 minutes of one core: 3.2 million tokens" in (tmp_path / "MODEL_CARD.md").read_text()
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert config["eos_token_id"] == tokenizer.token_to_id(END)


def test_training_goes_on_from_a_model_folder(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = small_model(tokenizer)
    export(model, tokenizer, tmp_path, {"tokens": 1, "minutes": 1})
    other = DemoModel(model.shape)
    from_hugging_face(other, load_file(str(tmp_path / "model.safetensors")))
    for (name, mine), (_, theirs) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(mine.to(torch.bfloat16), theirs.to(torch.bfloat16)), name

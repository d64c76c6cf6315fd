"""Writes a trained demo model as a folder that Hugging Face tools and vLLM load unchanged."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer

from serve.generation.demo_architecture import DemoModel, hugging_face_config, to_hugging_face
from serve.generation.demo_tokenizer import END, PAD, token_id, tokenizer_config
from serve.generation.prompt import PROMPT_VERSION

CARD = """# Attune demo model

A language model of {millions:.1f} million parameters (Qwen3 architecture, bfloat16) that Attune trains itself, so that
its whole generation path runs with vLLM and without a download.

**What it is**: a paraphraser of Attune's own sentence templates, in English and Chinese, that copies titles,
categories, tags and interests from its prompt, also ones that it never saw. It was trained on made-up titles only.

**What it is not**: a general writer. It knows nothing about the world, answers no questions and understands only the
prompt layout of `serve/generation/prompt.py` (its version is in `prompt_version.json`). For richer texts, set
another model.

The prompt ends with a plan, such as `write: reason en match c`: which sentence to write. That is decided before, from
the facts, so that the model guesses nothing and copies everything.

Every text is checked against the item's facts before it is shown; one that fails is replaced by a template sentence.

Built by `attune demo-model build` in {minutes:.0f} minutes of one core: {tokens:.1f} million tokens, all of them made
up by `serve/generation/demo_corpus.py`. `attune demo-model evaluate` measures it on a synthetic world,
`python -m benchmarks.bench_grounding` on real titles, none used in training.
"""


def export(model: DemoModel, tokenizer: Tokenizer, out: Path, training: Mapping[str, float]) -> None:
    """Write weights, tokenizer, configuration, card and the prompt version into the folder `out`.

    `training` says how it was made; it has `minutes` (of processor time) and `tokens`.
    """
    out.mkdir(parents=True, exist_ok=True)
    end, pad = token_id(tokenizer, END), token_id(tokenizer, PAD)
    save_file(to_hugging_face(model), str(out / "model.safetensors"), metadata={"format": "pt"})
    tokenizer.save(str(out / "tokenizer.json"))
    _write(out / "tokenizer_config.json", tokenizer_config(model.shape.max_positions))
    _write(out / "config.json", hugging_face_config(model.shape, end, pad))
    _write(out / "generation_config.json", {"eos_token_id": end, "pad_token_id": pad, "do_sample": False})
    _write(out / "prompt_version.json", {"prompt_version": PROMPT_VERSION, "training": dict(training)})
    (out / "MODEL_CARD.md").write_text(_card(model, training), encoding="utf-8")


def _card(model: DemoModel, training: Mapping[str, float]) -> str:
    count = sum(value.numel() for value in model.parameters())
    return CARD.format(millions=count / 1e6, minutes=training["minutes"], tokens=training["tokens"] / 1e6)


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")

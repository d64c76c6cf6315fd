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

A language model of 4.1 million parameters (Qwen3 architecture, bfloat16) that Attune trains itself, so that its whole
generation path runs with vLLM and without a download.

**What it is**: a paraphraser of Attune's own sentence templates, in English and Chinese, that copies titles,
categories, tags and interests from its prompt, also ones that it never saw. It was trained on made-up titles only.

**What it is not**: a general writer. It knows nothing about the world, answers no questions and understands only the
prompt layout of `serve/generation/prompt.py` (its version is in `prompt_version.json`). For richer texts, set
another model.

Every text is checked against the item's facts before it is shown; one that fails is replaced by a template sentence.

Built by `attune demo-model build` (35 minutes of one core), then trained on over harder titles and facets by
`attune demo-model build --start FOLDER --seed 1 --minutes 24 --rate 0.35 --no-resume`.

**How good**: of 2,000 texts about 1,000 real items, none used in training, 89.2 % of the English and 87.8 % of the
Chinese ones pass the check (`python -m benchmarks.bench_grounding`, benchmarks/results/grounding.json); books, whose
shelves are long, are the weak spot (73.6 %).
"""


def export(model: DemoModel, tokenizer: Tokenizer, out: Path, training: Mapping[str, object]) -> None:
    """Write weights, tokenizer, configuration, card and the prompt version into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    end, pad = token_id(tokenizer, END), token_id(tokenizer, PAD)
    save_file(to_hugging_face(model), str(out / "model.safetensors"), metadata={"format": "pt"})
    tokenizer.save(str(out / "tokenizer.json"))
    _write(out / "tokenizer_config.json", tokenizer_config(model.shape.max_positions))
    _write(out / "config.json", hugging_face_config(model.shape, end, pad))
    _write(out / "generation_config.json", {"eos_token_id": end, "pad_token_id": pad, "do_sample": False})
    _write(out / "prompt_version.json", {"prompt_version": PROMPT_VERSION, "training": dict(training)})
    (out / "MODEL_CARD.md").write_text(CARD, encoding="utf-8")


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")

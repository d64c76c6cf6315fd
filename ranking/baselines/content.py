"""The content baseline: items whose text is like that of what the user had."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from interest.batch import Floats
from ranking.baselines.base import REQUESTS_AT_ONCE, LastFit, Settings, grid, optional
from ranking.baselines.data import Requests, World, history_matrix

ItemVectors: TypeAlias = scipy.sparse.csr_matrix | Floats  # float32 [items, D], unit rows or zeros

CHARACTERS = (3, 5)  # lengths of the character n-grams
WORD = r"(?u)\b\w+\b"  # one-letter words too: "T LIGHT HOLDER"


class Content:
    """Cosine between each item and the mean of the history's items, decayed by age.

    `vectors`: "words" and "characters" are TF-IDF of the items' texts, "encoder" the embeddings that Attune uses.
    """

    name = "content cosine"
    grid = grid(vectors=("words", "characters", "encoder"), half_life_days=(None, 30.0, 120.0))

    def __init__(self) -> None:
        self._fits = LastFit[ItemVectors]()

    def fit(self, world: World, settings: Settings) -> "ContentScorer":
        kind = str(settings["vectors"])
        vectors = self._fits.get_or_make(world, kind, lambda: item_vectors(kind, world.texts, world.embeddings))
        return ContentScorer(vectors, optional(settings, "half_life_days"))


@dataclass(frozen=True, slots=True)
class ContentScorer:
    vectors: ItemVectors
    half_life_days: float | None

    def scores(self, requests: Requests) -> Floats:
        history = history_matrix(requests, self.vectors.shape[0], self.half_life_days)
        found = np.zeros(history.shape, dtype=np.float32)
        for start in range(0, len(requests), REQUESTS_AT_ONCE):
            part = slice(start, start + REQUESTS_AT_ONCE)
            profiles = _dense(history[part] @ self.vectors)  # almost dense, and so are the products
            found[part] = (self.vectors @ profiles.T).T
        return found


def _dense(profiles: ItemVectors) -> Floats:
    return profiles if isinstance(profiles, np.ndarray) else profiles.toarray()


def item_vectors(kind: str, texts: Sequence[str], embeddings: Floats) -> ItemVectors:
    """float32 [items, D] of one of the three kinds; all zeros where nothing is known of any item."""
    if kind == "encoder":
        return embeddings if len(embeddings) else np.zeros((len(texts), 1), dtype=np.float32)
    if kind == "words":
        return scipy.sparse.csr_matrix(_words().fit_transform(texts))
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=CHARACTERS, sublinear_tf=True, dtype=np.float32)
    return scipy.sparse.csr_matrix(characters.fit_transform(texts))


def declared_scores(texts: Sequence[str], declared: Sequence[str]) -> Floats:
    """For users without events: cosine of the words of B declarations with each item's text, float32 [B, items]."""
    vectorizer = _words()
    items = vectorizer.fit_transform(texts)
    found: Floats = (vectorizer.transform(declared) @ items.T).toarray()
    return found


def _words() -> TfidfVectorizer:
    return TfidfVectorizer(token_pattern=WORD, sublinear_tf=True, dtype=np.float32)

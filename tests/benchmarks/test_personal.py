"""The probe of the benchmark of personal texts: right where it can be, at chance where nothing can be known."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_personal import Pair, Probe, draw_pairs, judged, likeness, named_weight
from benchmarks.readers import Corpus, Reader
from interest.batch import Floats, Longs
from interest.items import Item
from ranking.encoder import CachedEncoder
from ranking.ngram import unit_rows
from serve.generation.generator import GeneratedText
from serve.generation.prompt import GenerationTask, ItemFacts

SEA, TEA = (Reader(((name, 1.0),), ((name, 1.0),), ()) for name in ("sea", "tea"))


class Letters:
    """An encoder that sees which letters of "set" a text has."""

    name, dims = "letters", 3

    def encode(self, texts: Sequence[str]) -> Floats:
        counts = [[text.count(letter) for letter in "set"] for text in texts]
        return unit_rows(np.array(counts, dtype=np.float32).reshape(len(texts), 3))

    def count_tokens(self, texts: Sequence[str]) -> Longs:
        return np.zeros(len(texts), dtype=np.int64)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def pairs(number: int) -> list[Pair]:
    task = GenerationTask(item=ItemFacts(title="Lamp"))
    return [Pair("shop", (SEA, TEA), (task, task)) for _ in range(number)]


def guessed(*said: str) -> tuple[list[float], list[float]]:
    some = pairs(len(said) // 2)
    named, near = Probe(CachedEncoder(Letters()), some).guessed(some, said)
    return named.tolist(), near.tolist()


def test_a_text_that_names_its_reader_s_interest_is_told_apart() -> None:
    assert guessed("You like the Sea.", "You like tea.")[0] == [1.0]
    assert guessed("You like tea.", "You like the sea.")[0] == [0.0]


def test_without_a_name_the_embedding_guesses_and_without_that_chance_does() -> None:
    assert guessed("ssss", "tttt") == ([1.0], [1.0])
    assert guessed("-", "-") == ([0.5], [0.5])


def test_texts_that_depend_on_nobody_are_guessed_by_chance() -> None:
    some, rng = pairs(400), np.random.default_rng(0)
    said = [["You like sea.", "You like tea."][int(rng.integers(2))] for _ in range(800)]
    texts = [GeneratedText(text, "model", None, 1, 1) for text in said]
    tasks = [task for pair in some for task in pair.tasks]
    found = judged(some, tasks, texts, Probe(CachedEncoder(Letters()), some), rng)
    _, low, high = found["accuracy"]
    assert low < 0.5 < high
    assert high - low == pytest.approx(4 * np.sqrt(0.25 / 800), rel=0.2)
    assert found["grounded"] == 1.0


def test_pairs_are_of_unlike_readers_and_of_items_that_suit_either() -> None:
    number = count()
    items = [Item(item_id=f"{next(number)}", title="Lamp", tags=(name,)) for name in ("sea", "tea") * 50]
    drawn = draw_pairs([Corpus("shop", items, [SEA, SEA, TEA])], 60, np.random.default_rng(0))
    assert len(drawn) == 60
    assert all(likeness(*pair.readers) == 0.0 for pair in drawn)
    assert likeness(SEA, SEA) == pytest.approx(1.0)
    assert {(task.language, task.content_type) for pair in drawn for task in pair.tasks} == {
        (language, kind) for language in ("en", "zh") for kind in ("headline", "reason", "summary")
    }
    with pytest.raises(ValueError, match="likeness"):
        draw_pairs([Corpus("shop", items, [SEA, SEA])], 1, np.random.default_rng(0))


def test_only_whole_names_count() -> None:
    assert named_weight("By the SEA", SEA) == 1.0
    assert named_weight("By the seaside", SEA) == 0.0

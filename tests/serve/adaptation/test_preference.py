"""What pairs of texts say of words: by hand where it can be worked out, and nothing of what the item is."""

from collections import Counter

import numpy as np
import pytest
from scipy.optimize import minimize

from serve.adaptation.preference import RIDGE, Preference, Words, words_of
from serve.generation.prompt import GenerationTask, ItemFacts

LAMP = ItemFacts(title="Harbour Lamp", categories=("Lighting",), tags=("brass", "sea"))
TASK = GenerationTask(item=LAMP, interests=(("sea", 1.0), ("tea", 0.5)))


def test_words_are_those_of_the_wording_and_not_of_title_and_facts() -> None:
    assert words_of('More SEA for you: "Harbour Lamp"', TASK) == Counter({"more": 1, "for": 1, "you": 1, ":": 1})
    assert words_of('You like tea, and "Harbour Lamp" is brass lighting.', TASK) == Counter(
        {"you": 1, "like": 1, ",": 1, "and": 1, "is": 1, ".": 1}
    )


def test_chinese_is_read_by_the_character() -> None:
    lamp = GenerationTask(item=ItemFacts(title="白色挂灯", language="zh"), language="zh")
    assert words_of("为你推荐：“白色挂灯”", lamp) == Counter({"为": 1, "你": 1, "推": 1, "荐": 1, "：": 1})


def test_one_word_of_one_pair_has_the_weight_that_the_likelihood_gives_it() -> None:
    found = Preference([(Counter(a=1), Counter())]).score(Counter(a=1))
    assert found == pytest.approx(1 / (1 + np.exp(found)) / RIDGE)  # where the slope is zero


def test_weights_are_those_of_the_greatest_penalised_likelihood() -> None:
    rng = np.random.default_rng(0)
    chosen, refused = rng.integers(0, 4, size=(2, 40, 5))
    letters = "abcde"

    def counted(row: np.ndarray) -> Words:
        return Counter({letter: int(count) for letter, count in zip(letters, row, strict=True) if count})

    def loss(weights: np.ndarray) -> float:
        return float(np.logaddexp(0, -(chosen - refused) @ weights).sum() + RIDGE / 2 * weights @ weights)

    pairs = [(counted(good), counted(bad)) for good, bad in zip(chosen, refused, strict=True)]
    found = [Preference(pairs).score(Counter([letter])) for letter in letters]
    assert found == pytest.approx(minimize(loss, np.zeros(5)).x, abs=1e-4)


def test_without_pairs_and_for_words_that_no_pair_held_all_texts_are_equal() -> None:
    assert Preference([]).score(Counter(a=3)) == 0.0
    assert Preference([(Counter(a=1), Counter(b=1))]).score(Counter(c=2)) == 0.0

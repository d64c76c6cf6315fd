"""The score of a text: each part by itself, and what must not earn any."""

from dataclasses import replace

import numpy as np
import pytest

from serve.generation.choosing import TextScore, best_of, coverage, profile_vector, scored, spoken
from serve.generation.generator import GeneratedText
from serve.generation.prompt import GenerationTask, ItemFacts

FILM = ItemFacts(title="Jazz and Space (2013)", domain="entertainment", categories=("Drama",), tags=("space", "太空"))
TASK = GenerationTask(item=FILM, interests=(("space", 1.0), ("drama", 0.5), ("jazz", 0.8)))
TITLE = '"Jazz and Space (2013)"'


def text(words: str, source: str = "model") -> GeneratedText:
    return GeneratedText(words, source, None, 10, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "covered"),
    [
        (f"{TITLE} is worth a look.", 0.0),
        (f"{TITLE} has the Space that you like.", 0.6),
        (f"You know jazz, and {TITLE} is something else.", 0.2 * 0.8),
        (f"With space and drama in it, {TITLE} fits.", 1 - (1 - 0.6) * (1 - 0.6 * 0.5)),
        (f"{TITLE} is spacey.", 0.0),
    ],
)
def test_naming_an_interest_covers_it_and_each_further_one_adds_less(words: str, covered: float) -> None:
    assert coverage(words, TASK) == pytest.approx(covered)


def test_an_interest_counts_with_its_weight_however_the_item_spells_it() -> None:
    film = replace(FILM, tags=("Sci-Fi",))
    assert coverage(f"{TITLE} is Sci-Fi.", replace(TASK, item=film, interests=(("scifi", 0.5),))) == pytest.approx(0.3)


def test_the_title_earns_nothing() -> None:
    assert spoken(f"We like {TITLE} a lot.", TASK) == "We like a lot."
    chinese = replace(TASK, language="zh")
    assert spoken("看看“Jazz and Space (2013)”。", chinese) == "看看 。"


def test_a_profile_is_the_weighted_sum_of_its_interests_at_unit_length() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    assert profile_vector([3.0, 4.0], vectors) == pytest.approx([0.6, 0.8])
    assert profile_vector([], vectors[:0]).tolist() == [0.0, 0.0]


def test_a_template_is_worth_less_than_a_true_text_of_the_model_that_says_the_same() -> None:
    profile = np.array([0.6, 0.8], dtype=np.float32)
    vector = np.array([1.0, 0.0], dtype=np.float32)
    words = f"{TITLE} has the space that you like."
    model, template = (scored(text(words, source), TASK, vector, profile) for source in ("model", "template"))
    assert (model.similarity, model.coverage, model.grounded) == pytest.approx((0.6, 0.6, 1.0))
    assert model.total == pytest.approx(0.4 * 0.6 + 0.4 * 0.6 + 0.2)
    assert template.total == pytest.approx(model.total - 0.2)
    assert scored(text(words), TASK, -vector, profile).similarity == 0.0


def test_of_equals_the_first_is_chosen() -> None:
    low, high = TextScore(0.1, 0.0, 1.0), TextScore(0.9, 0.0, 1.0)
    assert best_of([low, high, high]) == 1
    assert best_of([low]) == 0

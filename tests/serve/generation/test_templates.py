"""The templates: natural, true to the facts, and the same text for the same task."""

import dataclasses
import itertools

import numpy as np
import pytest

from interest.items import DOMAINS
from serve.generation.demo_corpus import random_task
from serve.generation.grounding import check
from serve.generation.plan import fields_of, skeleton_pools
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, QUOTES, ContentType, GenerationTask, ItemFacts, Language
from serve.generation.templates import template_text

CELLS = list(itertools.product(CONTENT_TYPES, LANGUAGES, (*DOMAINS, "")))


@pytest.mark.parametrize(("content_type", "language", "domain"), CELLS)
def test_every_cell_can_be_said_in_dozens_of_ways(content_type: ContentType, language: Language, domain: str) -> None:
    pools = skeleton_pools(content_type, language, domain)
    assert np.prod([len(set(pool)) for pool in pools]) >= 24
    assert sum("{title}" in skeleton for skeleton in itertools.chain(*pools)) >= 12


def test_every_first_sentence_names_the_title_once() -> None:
    for content_type, language, domain in CELLS:
        first, *others = skeleton_pools(content_type, language, domain)
        assert all(skeleton.count("{title}") == 1 for skeleton in first)
        assert all("title" not in fields_of(skeleton) for pool in others for skeleton in pool)


@pytest.mark.thorough
def test_a_thousand_random_tasks_get_a_template_text_that_passes_its_own_check() -> None:
    rng = np.random.default_rng(11)
    for _ in range(1000):
        task = random_task(rng)
        text = template_text(task)
        assert check(text, task).ok, (text, task)


def test_the_fallback_is_always_the_same_for_the_same_task() -> None:
    task = random_task(np.random.default_rng(3))
    assert len({template_text(task) for _ in range(5)}) == 1


def test_different_items_are_spoken_of_in_different_ways() -> None:
    tasks = [GenerationTask(item=ItemFacts(title="X" * number, domain="news")) for number in range(1, 40)]
    assert len({template_text(task).replace(task.item.title, "") for task in tasks}) >= 6


def test_a_match_is_named_and_without_one_no_shared_interest_is_claimed() -> None:
    item = ItemFacts(title="Blue Mug", domain="e-commerce", tags=("pottery",))
    for language in LANGUAGES:
        match = GenerationTask(item=item, interests=(("pottery", 1.0),), language=language)
        like = GenerationTask(item=item, interests=(("jazz", 1.0),), language=language)
        assert "pottery" in template_text(match)
        assert "jazz" in template_text(like)
        assert "jazz" not in template_text(dataclasses.replace(like, interests=()))


def test_latin_words_stand_between_spaces_in_chinese() -> None:
    item = ItemFacts(title="Blue Mug", domain="e-commerce", tags=("pottery",))
    texts = [
        template_text(GenerationTask(item=item, interests=(("pottery", 1.0),), language="zh", variant=number))
        for number in range(20)
    ]
    opening, closing = QUOTES["zh"]
    assert all(f"{opening}Blue Mug{closing}" in text for text in texts)
    assert not any("pottery的" in text or "欢pottery" in text for text in texts)


def test_an_unknown_domain_is_spoken_of_in_general_words() -> None:
    task = GenerationTask(item=ItemFacts(title="Blue Mug", domain="poultry"))
    assert check(template_text(task), task).ok

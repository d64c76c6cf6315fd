"""The training rows of the demo model: balanced, varied and the same for the same seed."""

from collections import Counter

import numpy as np
import pytest

from serve.generation.demo_corpus import copy_text, random_row, random_task, random_title
from serve.generation.prompt import cjk_count, clean_title, facts_of

pytestmark = pytest.mark.thorough


def test_the_same_seed_gives_the_same_rows() -> None:
    first, second = (
        [random_row(rng) for _ in range(50)] for rng in (np.random.default_rng(1), np.random.default_rng(1))
    )
    assert first == second


def test_languages_and_content_types_come_in_equal_shares() -> None:
    rng = np.random.default_rng(2)
    tasks = [random_task(rng) for _ in range(3000)]
    for counts in (Counter(task.language for task in tasks), Counter(task.content_type for task in tasks)):
        assert max(counts.values()) < 1.15 * min(counts.values())


def test_matches_likes_and_neither_all_occur_often() -> None:
    rng = np.random.default_rng(3)
    facts = [facts_of(random_task(rng)) for _ in range(1000)]
    matches = sum(bool(fact.matches) for fact in facts)
    likes = sum(bool(fact.likes) and not fact.matches for fact in facts)
    assert min(matches, likes, 1000 - matches - likes) > 100


def test_a_wanted_language_is_kept() -> None:
    rng = np.random.default_rng(4)
    assert {random_task(rng, "zh").language for _ in range(20)} == {"zh"}


def test_titles_are_varied_and_hold_what_real_ones_hold() -> None:
    rng = np.random.default_rng(5)
    english = [clean_title(random_title(rng, "en")) for _ in range(2000)]
    chinese = [clean_title(random_title(rng, "zh")) for _ in range(2000)]
    assert len(set(english)) > 1950
    assert sum(len(title) > 100 for title in english) > 60
    assert sum(not title.isascii() for title in english) > 150
    assert len(set(chinese)) > 1800
    assert sum(title.isupper() for title in english) > 200
    assert sum("#" in title for title in english) > 100
    assert sum(len(set(title.split())) < len(title.split()) for title in english) > 100
    assert sum(any(char.isascii() and char.isalpha() for char in title) for title in chinese) > 300
    assert all(cjk_count(title) for title in chinese)


def test_a_copy_text_is_one_line() -> None:
    rng = np.random.default_rng(6)
    assert not any("\n" in copy_text(rng) for _ in range(200))

"""The pattern that keeps a title exact: it lets through the item's own, once, and no other quotes."""

import re

import pytest

from serve.generation.constraint import title_pattern
from serve.generation.prompt import QUOTES, GenerationTask, ItemFacts, Language


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_title_stands_once_as_it_is(language: Language) -> None:
    task = GenerationTask(item=ItemFacts(title="Lamp (2) + more? [a-z]* #3.5 ^~|{x}"), language=language)
    opening, closing = QUOTES[language]
    quoted = f"{opening}{task.item.title}{closing}"
    for good in (f"See {quoted} now.", quoted, f"看看{quoted}吧。"):
        assert re.fullmatch(title_pattern(task), good)
    for bad in (f"See {quoted} and {quoted}", f"See {opening}Lamp (2){closing}", f"{quoted}\n", "See this."):
        assert not re.fullmatch(title_pattern(task), bad)


def test_the_other_languages_quotes_may_stand_in_a_title() -> None:
    task = GenerationTask(item=ItemFacts(title="白色“挂灯”"))
    assert re.fullmatch(title_pattern(task), "See \"白色'挂灯'\".")

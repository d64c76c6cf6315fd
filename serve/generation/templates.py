"""The grammar of short texts: it composes what the demo model learns from, and it is the fallback for every model."""

import re
import string
from collections.abc import Sequence
from functools import cache
from types import ModuleType

import numpy as np

from serve.generation import templates_en, templates_zh
from serve.generation.prompt import QUOTES, STYLES, ContentType, Facts, GenerationTask, Language, facts_of

_WORDS: dict[Language, ModuleType] = {"en": templates_en, "zh": templates_zh}
_GLUED = re.compile(r"(?<=[\u3400-\u9fff])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[\u3400-\u9fff])")


def template_text(task: GenerationTask) -> str:
    """The sentence for this task: true to its facts, always the same for the same title and interests."""
    return compose(task, np.random.default_rng(facts_of(task).style))


def compose(task: GenerationTask, rng: np.random.Generator) -> str:
    """One of the sentences that the grammar allows for this task.

    A skeleton whose place in its list agrees with the style of the task is preferred, so that a model which
    is told the style writes varied texts without sampling.
    """
    facts = facts_of(task)
    slots = slots_of(task, facts)
    pools = skeleton_pools(task.content_type, task.language, task.item.domain)
    chosen = [_choose(_fitting(pool, slots, facts), facts.style, rng) for pool in pools]
    joint = " " if task.language == "en" else ""
    return joint.join(fill(skeleton, slots, task.language) for skeleton in chosen)


def fill(skeleton: str, slots: dict[str, str], language: Language) -> str:
    """The skeleton with its slots filled; in Chinese, Latin words stand between spaces."""
    parts: list[str] = []
    for literal, field, _, _ in string.Formatter().parse(skeleton):
        for part in (literal, slots[field] if field else ""):
            if part and parts and language == "zh" and _GLUED.search(parts[-1][-1] + part[0]):
                parts.append(" ")
            parts.extend([part] if part else [])
    return "".join(parts)


def slots_of(task: GenerationTask, facts: Facts) -> dict[str, str]:
    """What each slot stands for in this task; slots without a value are absent."""
    opening, closing = QUOTES[task.language]
    noun, verb = domain_words(task.language, task.item.domain)
    slots = {"title": f"{opening}{facts.title}{closing}", "noun": noun, "verb": verb}
    for names, values in (
        (("category",), facts.categories),
        (("tag", "tag2"), facts.tags),
        (("match", "match2"), facts.matches),
        (("like",), facts.likes),
    ):
        slots.update(zip(names, values, strict=False))
    return slots


def domain_words(language: Language, domain: str) -> tuple[str, str]:
    """What an item of the domain is called, and what one does with it; general words for an unknown domain."""
    words = _WORDS[language]
    known = domain if domain in words.NOUNS else ""
    return words.NOUNS[known], words.VERBS[known]


@cache
def skeleton_pools(content_type: ContentType, language: Language, domain: str) -> tuple[tuple[str, ...], ...]:
    """The lists of skeletons that a text takes one sentence each from, in order."""
    words = _WORDS[language]
    if content_type == "headline":
        return ((*words.HEADLINE, *words.HEADLINE_DOMAIN.get(domain, ())),)
    if content_type == "reason":
        return ((*words.REASON, *words.REASON_DOMAIN.get(domain, ())),)
    return words.SUMMARY_OPENERS, (*words.SUMMARY_CLOSERS, *words.SUMMARY_CLOSERS_DOMAIN.get(domain, ()))


@cache
def fields_of(skeleton: str) -> frozenset[str]:
    """The slots that a skeleton needs."""
    return frozenset(field for _, field, _, _ in string.Formatter().parse(skeleton) if field)


def _fitting(pool: tuple[str, ...], slots: dict[str, str], facts: Facts) -> list[str]:
    """Skeletons whose slots are known; where the list has any about the user's interests, only those."""
    known = [skeleton for skeleton in pool if fields_of(skeleton) <= slots.keys()]
    wanted = "match" if facts.matches else "like" if facts.likes else None
    personal = [skeleton for skeleton in known if wanted in fields_of(skeleton)]
    neutral = [skeleton for skeleton in known if not fields_of(skeleton) & {"match", "like"}]
    return personal or neutral


def _choose(skeletons: Sequence[str], style: int, rng: np.random.Generator) -> str:
    """One skeleton among those of this style: the list is cut into `STYLES` stretches of equal length."""
    count = len(skeletons)
    first = style * count // STYLES
    last = max((style + 1) * count // STYLES, first + 1)
    return skeletons[int(rng.integers(first, last))]

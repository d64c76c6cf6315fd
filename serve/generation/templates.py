"""The grammar of short texts: it composes what the demo model learns from, and it is the fallback for every model."""

import re
import string

from serve.generation.plan import domain_words
from serve.generation.prompt import QUOTES, Facts, GenerationTask, Language, facts_of, plan_of, slots_of_facts

_GLUED = re.compile(r"(?<=[\u3400-\u9fff])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[\u3400-\u9fff])")


def template_text(task: GenerationTask) -> str:
    """The text for this task: true to its facts, by the plan that its prompt names, and always the same."""
    facts = facts_of(task)
    slots = slots_of(task, facts)
    joint = " " if task.language == "en" else ""
    return joint.join(fill(sentence.skeleton, slots, task.language) for sentence in plan_of(task, facts))


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
    return {"title": f"{opening}{facts.title}{closing}", "noun": noun, "verb": verb} | slots_of_facts(facts)

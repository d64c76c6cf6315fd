"""Is a text true to its item? Checked before anything is shown; one that fails gives way to a template sentence."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from serve.generation.grammar import speaks_grammar
from serve.generation.prompt import (
    QUOTES,
    ContentType,
    Facts,
    GenerationTask,
    Language,
    build_chat,
    cjk_count,
    facts_of,
)
from serve.generation.untrusted import has_label, repeats


class Reason(StrEnum):
    """Why a text was refused: few values, fit for a metric label."""

    TITLE = "title"  # missing, changed, said twice, or another thing in quotes
    NUMBER = "number"  # a number that the facts do not hold
    FACET = "facet"  # a category, tag, interest or claim that the facts do not hold
    LANGUAGE = "language"
    LENGTH = "length"
    MARKUP = "markup"  # a link, markup or a control character
    PROMPT = "prompt"  # a line of the prompt instead of an answer
    REPETITION = "repetition"
    UNFINISHED = "unfinished"
    TOO_LONG = "too_long"  # the prompt did not fit the model
    CONTROL = "control"  # a fact holds a control token of the model, which was not asked


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is None for a text that may be shown."""

    reason: Reason | None = None

    @property
    def ok(self) -> bool:
        return self.reason is None


LENGTHS: dict[ContentType, tuple[int, int]] = {  # characters beside the title, least and most
    "headline": (2, 160),
    "reason": (5, 280),
    "summary": (8, 400),
}
_ENDS = tuple(".!?。！？…")
_LOOSE_ENDS = tuple(",:;-–—(&/+，：；、（")
_MARKUP = re.compile(r"https?:|www\.|</?\w|\*\*|__|`|\]\(|^\s*#|[{}\\|]|&\w+;", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LOOPS = re.compile(r"\b(\w+(?:\W+\w+){0,4})(?:\W+\1\b)+", re.IGNORECASE)
_GLUED = re.compile(r"[A-Za-z]\x01|\x01[A-Za-z]")  # a fact without a space beside an English word
_CJK_LOOPS = re.compile(r"([\u3400-\u9fff]{3,})\1|([\u3400-\u9fff]{2})\2\2|([\u3400-\u9fff])\3\3")


def check(
    text: str, task: GenerationTask, *, closed: bool = True, known_facets: frozenset[str] = frozenset()
) -> Verdict:
    """The first thing that is wrong with `text`, if any.

    `closed`: the text must also be made of the phrases of our own grammar, as the demo model's are. For a model that
    writes freely, pass False and the catalogue's categories and tags (case-folded) as `known_facets`: naming one that
    is neither the item's nor the user's is refused.
    """
    facts = facts_of(task)
    opening, closing = QUOTES[task.language]
    quoted = f"{opening}{facts.title}{closing}"
    if _has_control_character(text):
        return Verdict(Reason.MARKUP)
    if text.count(quoted) != 1:
        return Verdict(Reason.TITLE)
    rest = text.replace(quoted, " \x00 ")
    if any(mark in rest for mark in '"“”《》「」'):
        return Verdict(Reason.TITLE)
    return Verdict(_wrong_in_rest(text, rest, task, facts, closed, known_facets))


def betrays_prompt(text: str, task: GenerationTask, *, closed: bool) -> bool:
    """Whether the beginning of a text holds lines of its prompt already: it can never pass, so nobody should see it.

    A title that is still being written is not held against it.
    """
    opening, closing = QUOTES[task.language]
    rest = text.replace(f"{opening}{facts_of(task).title}{closing}", " ")
    unclosed = rest.count(opening) % 2 == 1 if opening == closing else rest.rfind(opening) > rest.rfind(closing)
    if unclosed:
        rest = rest[: rest.rfind(opening)]
    return _has_control_character(rest) or _tells_prompt(rest, task, closed)


def mentions(text: str, facet: str) -> bool:
    """Whether `text` names the facet (case-folded), in any case and not inside a longer Latin word."""
    return facet in text.casefold() and bool(re.search(_whole(facet), text, re.IGNORECASE))


def without_facts(text: str, task: GenerationTask) -> str:
    """The text with a control character in place of the quoted title and of each category, tag and interest."""
    facts = facts_of(task)
    opening, closing = QUOTES[task.language]
    rest = text.replace(f"{opening}{facts.title}{closing}", " \x00 ")
    return _without(rest, (*facts.categories, *facts.tags, *facts.matches, *facts.likes))


def _wrong_in_rest(
    text: str, rest: str, task: GenerationTask, facts: Facts, closed: bool, known_facets: frozenset[str]
) -> Reason | None:
    """`rest` is the text with a mark in place of the quoted title."""
    words = (*facts.categories, *facts.tags, *facts.matches, *facts.likes)
    plain = _without(rest, words)
    least, most = LENGTHS[task.content_type]
    if _MARKUP.search(plain):
        return Reason.MARKUP
    if _tells_prompt(plain, task, closed):
        return Reason.PROMPT
    if not _numbers_known(plain, task.item.price):
        return Reason.NUMBER
    if not _speaks(plain, task.language) or (task.language == "en" and _GLUED.search(plain)):
        return Reason.LANGUAGE
    if _LOOPS.search(plain) or _CJK_LOOPS.search(plain):
        return Reason.REPETITION
    if not least <= len(rest.strip()) - 1 <= most:
        return Reason.LENGTH
    if not _finished(text, task.content_type):
        return Reason.UNFINISHED
    own = {name.casefold() for name in (*task.item.categories, *task.item.tags, *(name for name, _ in task.interests))}
    if any(facet not in own and mentions(plain, facet) for facet in known_facets):
        return Reason.FACET
    if closed and not speaks_grammar(text, task):
        return Reason.FACET
    return None


def _tells_prompt(rest: str, task: GenerationTask, closed: bool) -> bool:
    return has_label(rest) or (not closed and repeats(rest, build_chat(task)[0]["content"]))


def _has_control_character(text: str) -> bool:
    return any(unicodedata.category(char) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"} for char in text)


def _without(text: str, words: tuple[str, ...]) -> str:
    """The text with a mark in place of each of the facts' words, longest first."""
    for word in sorted(words, key=len, reverse=True):
        text = re.sub(_whole(word), "\x01", text, flags=re.IGNORECASE)
    return text


def _whole(word: str) -> str:
    """A pattern for `word` that does not match inside a longer Latin word."""
    left = r"(?<![A-Za-z0-9])" if word[0].isascii() and word[0].isalnum() else ""
    right = r"(?![A-Za-z0-9])" if word[-1].isascii() and word[-1].isalnum() else ""
    return left + re.escape(word) + right


def _numbers_known(plain: str, price: float | None) -> bool:
    """Numbers inside the facts' words are gone already: what is left can only be the price."""
    return all(price is not None and _same(number, price) for number in _NUMBER.findall(plain))


def _same(number: str, price: float) -> bool:
    return number.replace(",", "") in {f"{price:g}", f"{price:.2f}", f"{price:.1f}"}


def _speaks(plain: str, language: Language) -> bool:
    """Beside title and facts: English holds no Chinese character, Chinese is mostly Chinese characters."""
    chinese = cjk_count(plain)
    latin = sum(char.isascii() and char.isalpha() for char in plain)
    return chinese == 0 if language == "en" else chinese > latin


def _finished(text: str, content_type: ContentType) -> bool:
    return not text.endswith(_LOOSE_ENDS) if content_type == "headline" else text.endswith(_ENDS)

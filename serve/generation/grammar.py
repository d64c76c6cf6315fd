"""Does a text speak the language of the templates? It does when each three symbols in a row occur in some skeleton.

Symbols are words (in Chinese: characters), punctuation marks, the title, and three kinds of facts, so that phrases may
be joined anew, but a tag of the item can never stand where an interest of the user belongs.
"""

import re
from collections.abc import Iterator
from functools import cache

from serve.generation.plan import domain_words, skeleton_pools
from serve.generation.prompt import QUOTES, ContentType, GenerationTask, Language, facts_of

_SYMBOL = re.compile(r"[\u3400-\u9fff]|\{\w+\}|[A-Za-z']+|[^\w\s]")
_START, _END = "<start>", "<end>"
_KINDS = {
    "{match}": "{shared}",
    "{match2}": "{shared}",
    "{like}": "{user}",
    "{category}": "{item}",
    "{tag}": "{item}",
    "{tag2}": "{item}",
}
Trigrams = frozenset[tuple[str, str, str]]


def speaks_grammar(text: str, task: GenerationTask) -> bool:
    """Whether some reading of `text` (a word may be a fact or plain language) uses only trigrams of the skeletons."""
    allowed = _trigrams(task.content_type, task.language, task.item.domain)
    facts = _fact_symbols(task)
    reached: dict[int, set[tuple[str, str]]] = {0: {(_START, _START)}}
    for position in range(len(text)):
        for before, last in reached.pop(position, ()):
            for symbol, after in _readings(text, position, facts):
                if (before, last, symbol) in allowed:
                    reached.setdefault(after, set()).add((last, symbol))
    return any((before, last, _END) in allowed for before, last in reached.get(len(text), ()))


def _fact_symbols(task: GenerationTask) -> list[tuple[str, str]]:
    """(words, symbol) of everything that the facts hold."""
    facts = facts_of(task)
    opening, closing = QUOTES[task.language]
    symbols = [(f"{opening}{facts.title}{closing}", "{title}")]
    symbols += [(word, "{shared}") for word in facts.matches]
    symbols += [(word, "{user}") for word in facts.likes]
    symbols += [(word, "{item}") for word in (*facts.categories, *facts.tags)]
    return symbols


def _readings(text: str, position: int, facts: list[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    """What may stand at `position`: (symbol, position after it and the white space that follows)."""
    for words, symbol in facts:
        end = position + len(words)
        if text.startswith(words, position) and not (words[-1].isalnum() and _continues(text, end)):
            yield symbol, _skip_space(text, end)
    if match := _SYMBOL.match(text, position):
        yield match.group(), _skip_space(text, match.end())


def _continues(text: str, end: int) -> bool:
    """Whether a Latin word goes on at `end`."""
    return text[end - 1].isascii() and text[end : end + 1].isascii() and text[end : end + 1].isalnum()


def _skip_space(text: str, position: int) -> int:
    return position + 1 if text[position : position + 1] == " " else position


@cache
def _trigrams(content_type: ContentType, language: Language, domain: str) -> Trigrams:
    """Every three symbols in a row of the texts that the skeletons can make."""
    noun, verb = domain_words(language, domain)
    pools = [
        [_symbols(skeleton.replace("{noun}", noun).replace("{verb}", verb)) for skeleton in pool]
        for pool in skeleton_pools(content_type, language, domain)
    ]
    found: set[tuple[str, str, str]] = set()
    for number, pool in enumerate(pools):
        starts = [[_START, _START]] if number == 0 else [sentence[-2:] for sentence in pools[number - 1]]
        ends = [[_END]] if number == len(pools) - 1 else []
        for sentence in pool:
            for start in starts:
                found.update(_in_a_row([*start, *sentence[:2]]))
            found.update(_in_a_row(sentence))
            for end in ends:
                found.update(_in_a_row([*sentence[-2:], *end]))
    return frozenset(found)


def _symbols(skeleton: str) -> list[str]:
    return [_KINDS.get(symbol, symbol) for symbol in _SYMBOL.findall(skeleton)]


def _in_a_row(symbols: list[str]) -> Iterator[tuple[str, str, str]]:
    return zip(symbols, symbols[1:], symbols[2:], strict=False)

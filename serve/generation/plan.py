"""Which sentences a text is made of, decided before anything is written: the prompt names them, a template fills them.

A sentence has an angle (what it speaks of: a match, a like, a tag ...) and a family (a letter: which skeleton of that
angle). A model that is told both has nothing left to guess but the facts, which stand in its prompt.
"""

import math
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from serve.generation import templates_en, templates_zh

_WORDS: dict[str, ModuleType] = {"en": templates_en, "zh": templates_zh}
_ANGLES = {
    frozenset[str](): "plain",
    frozenset({"category"}): "category",
    frozenset({"tag"}): "tag",
    frozenset({"tag", "tag2"}): "tags",
    frozenset({"category", "tag"}): "both",
    frozenset({"match"}): "match",
    frozenset({"match", "match2"}): "matches",
    frozenset({"like"}): "like",
}
_OF_EVERY_ITEM = frozenset({"title", "noun", "verb"})
_STRIDE = 0.38  # of a list from one variant to the next: neighbours in a list are alike


@dataclass(frozen=True, slots=True)
class Sentence:
    """One skeleton under the name that the prompt calls it by."""

    angle: str
    family: str  # a letter, from "a" on within the angle
    skeleton: str

    @property
    def name(self) -> str:
        return f"{self.angle} {self.family}"


def plan(
    content_type: str, language: str, domain: str, known: frozenset[str], style: int, variant: int
) -> tuple[Sentence, ...]:
    """The sentences of one text whose facts fill the slots `known`.

    Sentences about the user's interests come first; a text of one sentence goes on to others where those are used up.
    The first eight variants of one style are eight different texts.
    """
    (first, others), *rest = _lists(content_type, language, _known_domain(language, domain), known)
    opener = _turned(first, others, style, variant)
    if not rest:
        return (opener,)
    closers = rest[0][0]
    rounds = variant // math.lcm(len(first) + len(others), len(closers))  # would be the same pairs again
    return opener, _turned(closers, (), style, variant + rounds)


def domain_words(language: str, domain: str) -> tuple[str, str]:
    """What an item of the domain is called, and what one does with it; general words for an unknown domain."""
    words, known = _WORDS[language], _known_domain(language, domain)
    return words.NOUNS[known], words.VERBS[known]


@cache
def skeleton_pools(content_type: str, language: str, domain: str) -> tuple[tuple[str, ...], ...]:
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


@cache
def named(pool: tuple[str, ...]) -> tuple[Sentence, ...]:
    """The skeletons of a list under their names."""
    seen: Counter[str] = Counter()
    sentences = []
    for skeleton in pool:
        angle = _ANGLES[fields_of(skeleton) - _OF_EVERY_ITEM]
        sentences.append(Sentence(angle, string.ascii_lowercase[seen[angle]], skeleton))
        seen[angle] += 1
    return tuple(sentences)


_Split = tuple[Sequence[Sentence], Sequence[Sentence]]


@cache
def _lists(content_type: str, language: str, domain: str, known: frozenset[str]) -> tuple[_Split, ...]:
    """For each sentence of the text: (those about the user's interests, the others); without any, the others first."""
    lists = []
    for pool in skeleton_pools(content_type, language, domain):
        fitting = [one for one in named(pool) if fields_of(one.skeleton) - _OF_EVERY_ITEM <= known]
        wanted = "match" if "match" in known else "like"
        personal = [one for one in fitting if wanted in fields_of(one.skeleton)]
        neutral = [one for one in fitting if not fields_of(one.skeleton) & {"match", "like"}]
        lists.append((personal, neutral) if personal else (neutral, []))
    return tuple(lists)


def _turned(first: Sequence[Sentence], others: Sequence[Sentence], style: int, variant: int) -> Sentence:
    """Each variant another sentence, until all of both lists have been used."""
    place = variant % (len(first) + len(others))
    some = first if place < len(first) else others
    place = place if place < len(first) else place - len(first)
    return some[(style + place * _stride(len(some))) % len(some)]


@cache
def _stride(count: int) -> int:
    """A number of steps that reaches every place of a list of this length."""
    return next(step for step in range(max(1, round(count * _STRIDE)), count + 2) if math.gcd(step, count) == 1)


def _known_domain(language: str, domain: str) -> str:
    return domain if domain in _WORDS[language].NOUNS else ""

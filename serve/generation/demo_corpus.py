"""Training rows of the demo model: random tasks over titles made up here, answered by the grammar of the templates."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from interest.items import DOMAINS
from serve.generation import demo_words as words
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, GenerationTask, ItemFacts, Language, build_prompt
from serve.generation.templates import compose, skeleton_pools

_SLOT = re.compile(r"\{\w+\}")
_MARKS = re.compile(r"[^\w\s'\u3400-\u9fff]")
T = TypeVar("T")
TitleMaker = Callable[[np.random.Generator], str]
COMMON_HAN = "".join(
    bytes((row, cell)).decode("gb2312") for row in range(0xB0, 0xD7) for cell in range(0xA1, 0xFF)
)  # the frequent characters of GB 2312, level 1


@dataclass(frozen=True, slots=True)
class Row:
    """One training example: the model sees `prompt` and learns to write `answer`."""

    prompt: str
    answer: str


def random_row(rng: np.random.Generator) -> Row:
    """One example; content types, languages and domains in equal shares."""
    task = random_task(rng)
    return Row(build_prompt(task), compose(task, rng))


def random_task(rng: np.random.Generator, wanted: Language | None = None) -> GenerationTask:
    """A task about an item that does not exist; two fifths of the items are in the other language."""
    language = _pick(rng, LANGUAGES) if wanted is None else wanted
    other: Language = "zh" if language == "en" else "en"
    item_language = language if rng.random() < 0.6 else other
    facets = [_facet(rng, item_language if rng.random() < 0.9 else other) for _ in range(rng.integers(0, 6))]
    split = int(rng.integers(0, min(len(facets), 3) + 1))
    liked = [name for name in facets if rng.random() < 0.3] if rng.random() < 0.7 else []
    liked += [_facet(rng, language if rng.random() < 0.8 else other) for _ in range(rng.integers(0, 4))]
    rng.shuffle(liked)
    interests = tuple((name, round(float(rng.uniform(0.1, 1.0)), 2)) for name in liked)
    item = ItemFacts(
        title=random_title(rng, item_language),
        domain=_pick(rng, DOMAINS) if rng.random() < 0.96 else "",
        language=item_language,
        categories=tuple(facets[:split]),
        tags=tuple(facets[split:]),
        price=round(float(rng.lognormal(3.0, 1.0)), 2) if rng.random() < 0.4 else None,
    )
    return GenerationTask(item=item, interests=interests, content_type=_pick(rng, CONTENT_TYPES), language=language)


def random_title(rng: np.random.Generator, language: str) -> str:
    """A title that exists nowhere: products, films, books, headlines, courses, posts and plain noise."""
    makers = _ENGLISH_TITLES if language == "en" else _CHINESE_TITLES
    title = _pick(rng, makers)(rng)
    if rng.random() < 0.12:
        title = _with_repeats(title, language, rng)
    return _with_fragment(title, language, rng) if rng.random() < 0.35 else title


def copy_text(rng: np.random.Generator) -> str:
    """Noise to be repeated word for word, with repeats inside it, so that the model learns to keep its place."""
    pieces = [_word(rng) if rng.random() < 0.6 else _han(rng, 1, 3) for _ in range(rng.integers(3, 9))]
    for _ in range(rng.integers(0, 4)):
        at, source = rng.integers(0, len(pieces), size=2)
        pieces[at] = pieces[source]
    return " ".join(pieces)


_SPELLING = (words.ONSETS, words.VOWELS, words.CODAS)


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def _facet(rng: np.random.Generator, language: str) -> str:
    """A category, tag or interest: mostly plain words, some in capitals, some of two words, some never seen before."""
    if language == "zh":
        return _pick(rng, words.ZH_TAGS) if rng.random() < 0.6 else _han(rng, 2, 5)
    name = _pick(rng, words.TAGS) if rng.random() < 0.6 else _pick(rng, (*words.NOUNS, _pseudo_word(rng)))
    if rng.random() < 0.25:
        name = f"{name} {_pick(rng, ('and', '&', '', '')) or _pick(rng, words.ADJECTIVES)} {_pick(rng, words.NOUNS)}"
    elif rng.random() < 0.25:
        name = _shelf(name, rng)
    return name.title() if rng.random() < 0.3 else name


def _shelf(name: str, rng: np.random.Generator) -> str:
    """What readers call their shelves: words and numbers joined by hyphens."""
    parts = [name, *(_word(rng) for _ in range(rng.integers(1, 3)))]
    if rng.random() < 0.3:
        parts.insert(
            int(rng.integers(len(parts) + 1)), _pick(rng, (_number(rng), f"{rng.integers(1, 22)}th", "sci", "non"))
        )
    return "-".join(parts)


def _with_fragment(title: str, language: str, rng: np.random.Generator) -> str:
    """The title with a few words of the templates inside it: they must be copied there, not continued as a template."""
    words_of_templates = _pick(rng, _literals("en" if language == "en" else "zh"))
    if language == "zh":
        start = int(rng.integers(len(words_of_templates)))
        at = int(rng.integers(len(title) + 1))
        return title[:at] + words_of_templates[start : start + int(rng.integers(1, 6))] + title[at:]
    pieces = words_of_templates.split()
    start = int(rng.integers(len(pieces)))
    fragment = " ".join(pieces[start : start + int(rng.integers(1, 5))])
    parts = title.split(" ")
    parts.insert(int(rng.integers(len(parts) + 1)), fragment.upper() if title.isupper() else fragment)
    return " ".join(parts)


def _with_repeats(title: str, language: str, rng: np.random.Generator) -> str:
    """The title with a stretch of it said again later, whole or in part: a copy must not jump between the two."""
    joint = "" if language == "zh" else " "
    parts = list(title) if language == "zh" else title.split(" ")
    start = int(rng.integers(len(parts)))
    stretch = parts[start : start + int(rng.integers(1, 5))]
    at = int(rng.integers(len(parts) + 1))
    return joint.join([*parts[:at], *stretch, *parts[at:]]).strip()


@cache
def _literals(language: Language) -> tuple[str, ...]:
    """What stands between the slots of the skeletons, as words (in Chinese: as characters) without marks."""
    skeletons = {
        skeleton
        for content_type in CONTENT_TYPES
        for domain in DOMAINS
        for pool in skeleton_pools(content_type, language, domain)
        for skeleton in pool
    }
    literals = (literal for skeleton in sorted(skeletons) for literal in _SLOT.split(skeleton))
    return tuple(cleaned for literal in literals if (cleaned := " ".join(_MARKS.sub(" ", literal).split())))


def _pseudo_word(rng: np.random.Generator) -> str:
    """A word that may not exist: half of them spelt as English spells, half of plain syllables."""
    if rng.random() < 0.5:
        parts = [_pick(rng, part) for _ in range(rng.integers(1, 3)) for part in _SPELLING]
        return "".join(parts) + (_pick(rng, words.SUFFIXES) if rng.random() < 0.5 else "")
    return "".join(_pick(rng, words.SYLLABLES) for _ in range(rng.integers(1, 5)))


def _word(rng: np.random.Generator) -> str:
    """A word in lower case: half from the lists, half made of syllables."""
    lists = (words.NOUNS, words.ADJECTIVES, words.VERBS)
    return _pick(rng, lists[int(rng.integers(3))]) if rng.random() < 0.5 else _pseudo_word(rng)


def _han(rng: np.random.Generator, low: int, high: int) -> str:
    return "".join(_pick(rng, COMMON_HAN) for _ in range(rng.integers(low, high)))


def _zh_word(rng: np.random.Generator) -> str:
    return _pick(rng, words.ZH_WORDS) if rng.random() < 0.6 else _han(rng, 1, 4)


def _number(rng: np.random.Generator) -> str:
    return str(int(rng.integers(1, 10 ** int(rng.integers(1, 5)))))


def _phrase(rng: np.random.Generator, low: int = 1, high: int = 6) -> str:
    """Words joined by spaces, now and then with a function word, a repeat or a hyphen."""
    parts: list[str] = []
    for _ in range(rng.integers(low, high)):
        if parts and rng.random() < 0.25:
            parts.append(_pick(rng, words.FUNCTION_WORDS))
        if parts and rng.random() < 0.12:
            parts.append(parts[int(rng.integers(len(parts)))])
        else:
            parts.append(_word(rng))
    if len(parts) > 1 and rng.random() < 0.12:
        parts[0:2] = [f"{parts[0]}-{parts[1]}"]
    return " ".join(parts)


def _name(rng: np.random.Generator) -> str:
    return " ".join(_pseudo_word(rng).capitalize() for _ in range(rng.integers(1, 3)))


def _product(rng: np.random.Generator) -> str:
    """RED HANGING LANTERN T-LIGHT HOLDER, SET OF 6 ..."""
    text = _phrase(rng, 2, 6)
    form = rng.random()
    if form < 0.2:
        text = f"set of {_number(rng)} {text}"
    elif form < 0.3:
        text = f"{text} {_number(rng)}{_pick(rng, ('cm', 'ml', 'g', ' pieces', '/', '%'))}"
    elif form < 0.4:
        text = f"{text},{_pick(rng, ('', ' '))}{_phrase(rng, 1, 4)}"
    elif form < 0.45:
        text = f"{_pick(rng, 'tabcx')}-{text}"
    return text.upper() if rng.random() < 0.7 else text.title()


def _film(rng: np.random.Generator) -> str:
    text = _phrase(rng, 1, 5).title()
    if rng.random() < 0.3:
        text = f"The {text}"
    if rng.random() < 0.2:
        text = f"{text}: {_phrase(rng, 1, 5).title()}"
    if rng.random() < 0.15:
        text = f"{text} {_pick(rng, ('II', 'III', 'IV', '2', '3', 'Part 1'))}"
    if rng.random() < 0.1:
        text = f"{_name(rng)}'s {text}"
    return f"{text} ({rng.integers(1900, 2030)})"


def _book(rng: np.random.Generator) -> str:
    text = _phrase(rng, 1, 6).title()
    if rng.random() < 0.15:
        text = f"{_name(rng)}{_pick(rng, (' and the', chr(39) + 's', ' of'))} {text}"
    if rng.random() < 0.25:
        text = f"{text}{_pick(rng, (': ', ' - ', ', or '))}{_phrase(rng, 2, 9).title()}"
    if rng.random() < 0.65:
        series = _name(rng) if rng.random() < 0.4 else _phrase(rng, 1, 5).title()
        number = f"{rng.integers(1, 25)}{_pick(rng, ('', '', '', '.5', f'-{rng.integers(2, 9)}'))}"
        text = f"{text} ({series}{_pick(rng, (',', ''))} #{number}{_pick(rng, ('', '', f'; {_name(rng)}, #{number}'))})"
    return text


def _headline(rng: np.random.Generator) -> str:
    text = f"{_name(rng)} {_phrase(rng, 3, 9)}".capitalize()
    return f"{text}{_pick(rng, ('', '', '', '?', '!', f', {_number(rng)} {_word(rng)}', f': {_phrase(rng, 2, 5)}'))}"


def _course(rng: np.random.Generator) -> str:
    start = _pick(
        rng, ("Introduction to", "Learn", "A Guide to", "Advanced", f"{_number(rng)} Days of", "Hands-On", "")
    )
    end = _pick(
        rng, ("", "", f" {_number(rng)}.{_number(rng)}", " for Beginners", f", Part {rng.integers(1, 9)}", " (v2)")
    )
    return f"{start} {_phrase(rng, 1, 4).title()}{end}".strip()


def _noise(rng: np.random.Generator) -> str:
    """Odd titles: marks, codes, accents, many repeats."""
    parts = [_pick(rng, (_word(rng), _name(rng), _word(rng).upper(), _number(rng))) for _ in range(rng.integers(1, 7))]
    if rng.random() < 0.4:
        parts += parts[: int(rng.integers(1, len(parts) + 1))]
    joint = _pick(rng, (" ", " ", " ", " & ", "/", ", ", " - ", "...", "; ", " + ", ".", " | ", "_"))
    text = joint.join(parts)
    if rng.random() < 0.2:
        at = int(rng.integers(len(text)))
        text = text[:at] + _pick(rng, "éèüöñçåøß€£$#@*&%!?'`~^=<>[]{}") + text[at:]
    return text


def _zh_phrase(rng: np.random.Generator) -> str:
    parts = [_zh_word(rng)]
    for _ in range(rng.integers(0, 5)):
        if rng.random() < 0.3:
            parts.append(_pick(rng, words.ZH_JOINTS))
        parts.append(parts[int(rng.integers(len(parts)))] if rng.random() < 0.1 else _zh_word(rng))
    return "".join(parts).strip()


def _zh_plain(rng: np.random.Generator) -> str:
    text = _zh_phrase(rng)
    form = rng.random()
    if form < 0.15:
        text = f"{text}（{_zh_word(rng)}）"
    elif form < 0.3:
        text = f"{_pick(rng, ('第', '', '', '新'))}{_number(rng)}{_pick(rng, '个只款集天招课年种件')}{text}"
    elif form < 0.4:
        text = f"{text}{_pick(rng, ('？', '！', '……', '，', '：', '、', '+'))}{_zh_phrase(rng)}"
    elif form < 0.5:
        text = f"{text} ({rng.integers(1900, 2030)})"
    return text


def _zh_mixed(rng: np.random.Generator) -> str:
    latin = _pick(rng, (_name(rng), _word(rng).upper(), _pseudo_word(rng), f"{_word(rng).upper()}{_number(rng)}"))
    space = _pick(rng, ("", " "))
    return _pick(
        rng,
        (
            f"{latin}{space}{_zh_phrase(rng)}",
            f"{_zh_phrase(rng)}{space}{latin}",
            f"{_zh_word(rng)}{space}{latin}{space}{_zh_phrase(rng)}",
            f"{_zh_phrase(rng)} {latin} {_number(rng)}{_pick(rng, ('', 'ml', '寸', '元', '周年'))}",
        ),
    )


_ENGLISH_TITLES: tuple[TitleMaker, ...] = (_product, _product, _film, _book, _headline, _course, _noise)
_CHINESE_TITLES: tuple[TitleMaker, ...] = (_zh_plain, _zh_plain, _zh_plain, _zh_mixed)

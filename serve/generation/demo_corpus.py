"""Training rows of the demo model: random tasks over titles made up here, answered by the grammar of the templates."""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

from interest.items import DOMAINS
from serve.generation import demo_words as words
from serve.generation.demo_spelling import accented, han, number, pick, pseudo_word, word
from serve.generation.demo_titles import ENGLISH
from serve.generation.demo_titles_zh import CHINESE
from serve.generation.plan import skeleton_pools
from serve.generation.prompt import (
    CONTENT_TYPES,
    LANGUAGES,
    GenerationTask,
    ItemFacts,
    Language,
    build_prompt,
    cjk_count,
)
from serve.generation.templates import template_text

MAX_VARIANT = 12
_SLOT = re.compile(r"\{\w+\}")
_MARKS = re.compile(r"[^\w\s'\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One training example: the model sees `prompt` and learns to write `answer`."""

    prompt: str
    answer: str


def random_row(rng: np.random.Generator) -> Row:
    """One example; content types, languages and domains in equal shares."""
    task = random_task(rng)
    return Row(build_prompt(task), template_text(task))


def random_task(rng: np.random.Generator, wanted: Language | None = None) -> GenerationTask:
    """A task about an item that does not exist; two fifths of the items are in the other language."""
    language = pick(rng, LANGUAGES) if wanted is None else wanted
    other: Language = "zh" if language == "en" else "en"
    item_language = language if rng.random() < (0.8 if language == "en" else 0.45) else other
    shelves = _shelves(item_language, rng) if rng.random() < 0.35 else []
    facets = shelves[: int(rng.integers(0, 6))] if shelves else _facets(rng, item_language, other)
    split = int(rng.integers(0, min(len(facets), 3) + 1))
    liked = [name for name in facets if rng.random() < 0.3] if rng.random() < 0.7 else []
    unlike = _shelves(item_language, rng) if rng.random() < 0.5 else shelves[len(facets) :]
    liked += [
        pick(rng, unlike) if shelves and unlike else _facet(rng, language if rng.random() < 0.7 else other)
        for _ in range(rng.integers(0, 4))
    ]
    if rng.random() < 0.12:
        liked = []
    rng.shuffle(liked)
    interests = tuple((name, round(float(rng.uniform(0.1, 1.0)), 2)) for name in liked)
    item = ItemFacts(
        title=random_title(rng, item_language),
        domain=pick(rng, DOMAINS) if rng.random() < 0.96 else "",
        language=item_language,
        categories=tuple(facets[:split]),
        tags=tuple(facets[split:]),
        price=round(float(rng.lognormal(3.0, 1.0)), 2) if rng.random() < 0.4 else None,
    )
    kind = pick(rng, CONTENT_TYPES)
    variant = int(rng.integers(MAX_VARIANT)) if rng.random() < 0.5 else 0
    return GenerationTask(item=item, interests=interests, content_type=kind, language=language, variant=variant)


def random_title(rng: np.random.Generator, language: str) -> str:
    """A title that exists nowhere, some with a stretch said twice, a fact's words or words of the templates inside."""
    title = pick(rng, ENGLISH if language == "en" else CHINESE)(rng)
    for _ in range(rng.choice(3, p=(0.5, 0.35, 0.15))):
        title = _with_repeats(title, language, rng)
    return _with_fragment(title, language, rng) if rng.random() < 0.2 else title


def copy_text(rng: np.random.Generator) -> str:
    """Noise to be repeated word for word, with repeats inside it, so that the model learns to keep its place."""
    pieces = [word(rng) if rng.random() < 0.6 else han(rng, 1, 3) for _ in range(rng.integers(3, 14))]
    for _ in range(rng.integers(0, 5)):
        at, source = rng.integers(0, len(pieces), size=2)
        pieces[at] = pieces[source]
    return " ".join(pieces)


def _facets(rng: np.random.Generator, language: str, other: str) -> list[str]:
    """What an item is: some facets are others with a word more or less, as `children` and `children-s-books`."""
    facets: list[str] = []
    for _ in range(rng.integers(0, 6)):
        if facets and rng.random() < 0.2:
            facets.append(_alike(pick(rng, facets), rng))
        else:
            facets.append(_facet(rng, language if rng.random() < 0.9 else other))
    return facets


def _shelves(language: str, rng: np.random.Generator) -> list[str]:
    """Facets of a few parts that come back in all of them, as `non-fiction`, `adult-fiction`, `fiction-to-read`."""
    if language == "zh":
        stock = [han(rng, 1, 3) if rng.random() < 0.6 else pick(rng, words.ZH_TAGS) for _ in range(rng.integers(2, 6))]
    else:
        small = ("s", "to", "and", "non", "sci", "a", "of", number(rng), f"{rng.integers(1, 22)}th")
        stock = [pick(rng, small) if rng.random() < 0.25 else word(rng) for _ in range(rng.integers(3, 8))]
    joint = "" if language == "zh" else "-"
    names = (joint.join(pick(rng, stock) for _ in range(rng.integers(1, 5))) for _ in range(10))
    return list(dict.fromkeys(names))


def _alike(name: str, rng: np.random.Generator) -> str:
    """The facet with its last part gone, or with another part at either end."""
    if cjk_count(name):
        return pick(rng, (name[:-1] or name, name + han(rng, 1, 3), han(rng, 1, 3) + name))
    joint = " " if " " in name else "-"
    cut = joint.join(name.split(joint)[:-1])
    return pick(
        rng, (cut or name, f"{name}{joint}{word(rng)}", f"{word(rng)}{joint}{name}", f"{name}{joint}s", f"{name}s")
    )


def _facet(rng: np.random.Generator, language: str) -> str:
    """A category, tag or interest: mostly plain words, some in capitals, some of two words, some never seen before."""
    if language == "zh":
        return pick(rng, words.ZH_TAGS) if rng.random() < 0.6 else han(rng, 2, 5)
    name = pick(rng, words.TAGS) if rng.random() < 0.6 else pick(rng, (*words.NOUNS, pseudo_word(rng), word(rng)))
    form = rng.random()
    if form < 0.2:
        name = f"{name} {pick(rng, ('and', '&', '', '')) or pick(rng, words.ADJECTIVES)} {pick(rng, words.NOUNS)}"
    elif form < 0.4:
        name = _shelf(name, rng)
    elif form < 0.45:
        name = accented(name, rng)
    return name.title() if rng.random() < 0.3 else name


def _shelf(name: str, rng: np.random.Generator) -> str:
    """What readers call their shelves: words and numbers joined by hyphens."""
    parts = [name, *(word(rng) for _ in range(rng.integers(1, 3)))]
    if rng.random() < 0.3:
        mark = pick(rng, (number(rng), f"{rng.integers(1, 22)}th", "sci", "non"))
        parts.insert(int(rng.integers(len(parts) + 1)), mark)
    return "-".join(parts)


def _with_fragment(title: str, language: str, rng: np.random.Generator) -> str:
    """The title with a few words of the templates inside it: they must be copied there, not continued as a template."""
    words_of_templates = pick(rng, _literals("en" if language == "en" else "zh"))
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

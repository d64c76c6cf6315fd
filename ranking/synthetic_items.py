"""Items of the synthetic world: titles, texts, prices and dates composed from the vocabulary."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from interest.items import Item
from ranking.synthetic_words import CategoryWords, DomainWords
from ranking.synthetic_words_en import ENGLISH_A
from ranking.synthetic_words_en_more import ENGLISH_B
from ranking.synthetic_words_zh import CHINESE_A
from ranking.synthetic_words_zh_more import CHINESE_B

T = TypeVar("T")

DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
VOCABULARY: tuple[tuple[DomainWords, DomainWords], ...] = tuple(
    zip(ENGLISH_A + ENGLISH_B, CHINESE_A + CHINESE_B, strict=True)
)
_PREFIXES = {"e-commerce": "shop", "social": "post", "news": "news", "education": "course", "entertainment": "film"}
_OLD_SHARE = {"e-commerce": 0.6, "social": 0.3, "news": 0.1, "education": 0.6, "entertainment": 0.7}
_MODELS = ("X3", "Mk II", "400", "S-12", "Pro 2", "Air", "V5", "Mini", "K7", "One")
_PRICE_ENDINGS = (0.0, 0.25, 0.49, 0.5, 0.9, 0.95, 0.99)
_TITLE_ATTEMPTS = 12


@dataclass(frozen=True, slots=True)
class Entry:
    """An item with what the world knows of it: topics ("domain/topic") and the noun its title turns on."""

    item: Item
    topic: str
    second_topic: str
    subject: str


def make_entries(rng: np.random.Generator, items_per_domain: int, start: float, end: float) -> list[Entry]:
    """`items_per_domain` items of each domain, every other one English; times are unix seconds (UTC).

    Some items exist before `start`, the others appear until `end`; how many depends on the domain (news is new).
    """
    entries: list[Entry] = []
    titles: set[str] = set()
    for pair in VOCABULARY:
        for number in range(items_per_domain):
            domain = pair[number % 2]
            words = domain.categories[(number // 2) % len(domain.categories)]
            entries.append(_entry(rng, domain, words, number, titles, (start, end)))
    return entries


def topics() -> list[str]:
    """All topics as "domain/topic", in the order of the vocabulary."""
    return [f"{english.domain}/{words.topic}" for english, _ in VOCABULARY for words in english.categories]


def category_topics() -> dict[tuple[str, str], str]:
    """(domain, category name in either language) -> topic."""
    return {
        (domain.domain, words.name): f"{domain.domain}/{words.topic}"
        for pair in VOCABULARY
        for domain in pair
        for words in domain.categories
    }


def pick(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    """One of the choices, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def _entry(
    rng: np.random.Generator,
    domain: DomainWords,
    words: CategoryWords,
    number: int,
    titles: set[str],
    span: tuple[float, float],
) -> Entry:
    second = pick(rng, domain.categories) if rng.random() < 0.15 else words
    slots = _slots(rng, domain, words, span[1])
    title = _unique_title(rng, domain, words, slots, titles, span[1])
    tags = [words.tags[index] for index in rng.permutation(len(words.tags))[: int(rng.integers(2, 4))]]
    if second is not words:
        tags.append(pick(rng, second.tags))
    slots |= {"tag": tags[0], "tag2": tags[1]}
    names = (words.name,) if second is words else (words.name, second.name)
    item = Item(
        item_id=f"{_PREFIXES[domain.domain]}-{number + 1:05d}",
        title=title,
        domain=domain.domain,
        language=domain.language,
        categories=names,
        tags=tuple(dict.fromkeys(tags)),
        text=_fill(pick(rng, domain.texts), slots),
        price=_price(rng, words.price),
        created_at=_created_at(rng, _OLD_SHARE[domain.domain], span),
        attributes={domain.brand_key: slots["brand"]},
    )
    return Entry(item, f"{domain.domain}/{words.topic}", f"{domain.domain}/{second.topic}", slots["subject"])


def _slots(rng: np.random.Generator, domain: DomainWords, words: CategoryWords, end: float) -> dict[str, str]:
    subject, brand, qualifier = pick(rng, words.subjects), pick(rng, domain.brands), pick(rng, domain.qualifiers)
    first, second = (words.details[index] for index in rng.permutation(len(words.details))[:2])
    return {
        "subject": subject,
        "Subject": _capitalised(subject),
        "SUBJECT": subject.upper(),
        "brand": brand,
        "BRAND": brand.upper(),
        "qualifier": qualifier,
        "Qualifier": _capitalised(qualifier),
        "detail": first,
        "Detail": _capitalised(first),
        "detail2": second,
        "tag": pick(rng, words.tags),
        "category": words.name,
        "model": pick(rng, _MODELS),
        "n": str(int(rng.integers(2, 25))),
        "year": str(datetime.fromtimestamp(end, UTC).year - int(rng.integers(0, 8))),
    }


def _unique_title(
    rng: np.random.Generator,
    domain: DomainWords,
    words: CategoryWords,
    slots: dict[str, str],
    titles: set[str],
    end: float,
) -> str:
    """A title no other item has; updates `slots` to the words it was made of and adds the title to `titles`."""
    for _ in range(_TITLE_ATTEMPTS):
        title = _fill(pick(rng, domain.titles), slots)
        if title not in titles:
            break
        slots.update(_slots(rng, domain, words, end))
    base, number = title, 2
    while title in titles:
        title = f"{base} (No. {number})" if domain.language == "en" else f"{base}（第{number}辑）"
        number += 1
    titles.add(title)
    return title


def _fill(pattern: str, slots: dict[str, str]) -> str:
    """The pattern with its slots filled; English "a" becomes "an" where the qualifier asks for it."""
    if slots["qualifier"].startswith(("a", "e", "i", "o", "u", "honest")):
        pattern = pattern.replace("a {qualifier}", "an {qualifier}").replace("A {qualifier}", "An {qualifier}")
    return _capitalised(pattern.format(**slots))


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _price(rng: np.random.Generator, bounds: tuple[float, float] | None) -> float | None:
    if bounds is None:
        return None
    low, high = bounds
    if low == 0.0 and rng.random() < 0.25:
        return 0.0
    amount = float(np.exp(rng.uniform(np.log(max(low, 3.0)), np.log(high))))
    return round(float(int(amount)) + pick(rng, _PRICE_ENDINGS), 2)


def _created_at(rng: np.random.Generator, old_share: float, span: tuple[float, float]) -> float:
    start, end = span
    old = rng.random() < old_share
    low, high = (start - YEAR_S, start) if old else (start, end - DAY_S)
    return float(int(rng.uniform(low, high)))

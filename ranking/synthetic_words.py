"""The shape of the synthetic world's vocabulary; the words themselves are in `synthetic_words_en` and `_zh`.

Patterns are `str.format` templates over the slots that `ranking.synthetic_items` fills: subject, detail, detail2,
brand, qualifier, category, tag, tag2, model, n, year, and the capitalised Subject, Detail, Qualifier, SUBJECT, BRAND.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CategoryWords:
    """One category in one language; `topic` names the same interest in every language.

    `price` is the lowest and highest price of the category, None where nothing is sold.
    """

    topic: str
    name: str
    subjects: tuple[str, ...]
    details: tuple[str, ...]
    tags: tuple[str, ...]
    price: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class DomainWords:
    """One domain in one language. `brand_key` is the attribute that holds the maker's name."""

    domain: str
    language: str
    brand_key: str
    brands: tuple[str, ...]
    qualifiers: tuple[str, ...]
    titles: tuple[str, ...]
    texts: tuple[str, ...]
    categories: tuple[CategoryWords, ...]


@dataclass(frozen=True, slots=True)
class CommentWords:
    """What users write in one language, by whether they liked the item; slots: subject, category."""

    praise: tuple[str, ...]
    complaint: tuple[str, ...]


def words(text: str) -> tuple[str, ...]:
    """The entries of a list written as "a, b, c" or, for Chinese, with the enumeration comma."""
    separator = "、" if "、" in text else ", "
    return tuple(entry.strip() for entry in text.split(separator))


def category(
    topic: str, name: str, subjects: str, details: str, tags: str, price: tuple[float, float] | None = None
) -> CategoryWords:
    """A category from lists written as running text."""
    return CategoryWords(topic, name, words(subjects), words(details), words(tags), price)

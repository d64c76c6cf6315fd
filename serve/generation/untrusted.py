"""Words of catalogues and users are data: what of them may be told, and what shows that a text is no answer.

A title is told as it is, in quotes, whatever it says; a category, tag or interest stands in the open, so one that holds
markup, a link or the syntax of a prompt is told nowhere. What is left is a name, which may still be a rude one: that is
the catalogue's to decide.
"""

import re
import unicodedata
from collections.abc import Iterable

from interest.errors import InvalidRequest

LABELS = ("write", "domain", "title", "category", "categories", "tags", "likes", "match", "text", "style")
ROLES = ("system", "user", "assistant", "human", "developer", "instruction", "instructions", "prompt")
RULE_WORDS = 6  # so many words of the rules in a row are no accident

_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cs"})
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")  # letters and marks that show nothing
_SYNTAX = re.compile(
    r"[<>{}\[\]|\\`*]|__|https?:|www\.|://|\w@\w|&\w+;"
    rf"|(?<!\w)(?:{'|'.join((*LABELS, *ROLES))})\s*[:：]",
    re.IGNORECASE,
)
_LABEL = re.compile(rf"(?<!\w)(?:{'|'.join(LABELS)})\s*:", re.IGNORECASE)
_WORD = re.compile(r"\w+")


class ControlToken(InvalidRequest):
    """A fact holds a token by which the model tells who speaks, or where a prompt ends."""


def visible(text: str) -> str:
    """The text with a space for each character that a reader cannot see; variation selectors leave nothing."""
    return "".join(" " if _unseen(char) else char for char in text if not _selects_variant(char))


def is_plain_name(name: str) -> bool:
    """Whether a category, tag or interest may be told: no markup, no link, no line of a prompt."""
    return not _SYNTAX.search(unicodedata.normalize("NFKC", name))


def has_label(text: str) -> bool:
    """Whether a line of our prompt layout is in it, such as `likes:`."""
    return bool(_LABEL.search(text))


def repeats(text: str, rules: str) -> bool:
    """Whether `text` holds `RULE_WORDS` words of `rules` in a row."""
    return not set(_runs(text)).isdisjoint(_runs(rules))


def holds_any(words: Iterable[str], tokens: Iterable[str]) -> bool:
    """Whether a token, such as a model's `<|im_end|>`, is part of one of the words."""
    marks = [token for token in tokens if token.strip()]
    return any(mark in word for word in words for mark in marks)


def _runs(text: str) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return [tuple(words[start : start + RULE_WORDS]) for start in range(len(words) - RULE_WORDS + 1)]


def _unseen(char: str) -> bool:
    return char in _BLANKS or "\U000e0000" <= char <= "\U000e0fff" or unicodedata.category(char) in _UNSEEN


def _selects_variant(char: str) -> bool:
    """256 characters that change nothing to see, and so carry a hidden byte each."""
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" or "\u180b" <= char <= "\u180f"

"""Words that the demo model must be able to copy: from lists, made of syllables, or any letters in any script."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from serve.generation import demo_words as words

T = TypeVar("T")
COMMON_HAN = "".join(
    bytes((row, cell)).decode("gb2312")
    for row in range(0xB0, 0xD8)
    for cell in range(0xA1, 0xFF)
    if (row, cell) < (0xD7, 0xFA)
)  # the frequent characters of GB 2312, level 1
RARE_HAN = "".join(bytes((row, cell)).decode("gb2312") for row in range(0xD8, 0xF8) for cell in range(0xA1, 0xFF))
_SPELLING = (words.ONSETS, words.VOWELS, words.CODAS)
_LETTERS = "eeeeeeaaaaaiiiioooottttnnnnrrrrsssslllhhdduuccmmppffggbbwwyyvkxjqz"
_ACCENTS = {
    "a": "áàâäãåāăą", "c": "çćč", "d": "ďđ", "e": "éèêëēėęě", "g": "ğ", "i": "íìîïīı", "l": "ł", "n": "ñńň",
    "o": "óòôöõøōő", "r": "ř", "s": "šśşß", "t": "ťț", "u": "úùûüūůű", "y": "ýÿ", "z": "žźż",
}  # fmt: skip
_SCRIPTS = tuple(
    "".join(map(chr, range(first, last)))
    for first, last in (
        (0x0410, 0x0450),  # Cyrillic
        (0x0430, 0x0450),
        (0x0391, 0x03A2),  # Greek
        (0x03B1, 0x03CA),
        (0x3041, 0x3094),  # hiragana
        (0x30A1, 0x30F5),  # katakana
        (0xAC00, 0xD7A4),  # hangul
        (0x05D0, 0x05EB),  # Hebrew
        (0x0627, 0x063B),  # Arabic
        (0x0E01, 0x0E2F),  # Thai
        (0x00C0, 0x0100),  # Latin with accents
        (0x0100, 0x0180),
        (0x1EA0, 0x1EFA),  # Vietnamese
    )
)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of them, all equally likely."""
    return options[int(rng.integers(len(options)))]


def pseudo_word(rng: np.random.Generator) -> str:
    """A word that may not exist: half of them spelt as English spells, half of plain syllables."""
    if rng.random() < 0.5:
        parts = [pick(rng, part) for _ in range(rng.integers(1, 3)) for part in _SPELLING]
        return "".join(parts) + (pick(rng, words.SUFFIXES) if rng.random() < 0.5 else "")
    return "".join(pick(rng, words.SYLLABLES) for _ in range(rng.integers(1, 5)))


def spelled(rng: np.random.Generator) -> str:
    """Letters in a row, common ones more often: every sequence of tokens can occur. One in ten is of few letters."""
    letters = few(_LETTERS, rng) if rng.random() < 0.1 else _LETTERS
    return "".join(pick(rng, letters) for _ in range(rng.integers(1, 10)))


def few(letters: str, rng: np.random.Generator) -> str:
    """Two to five of the letters: what is made of them repeats itself, and is hard to copy."""
    return "".join(pick(rng, letters) for _ in range(rng.integers(2, 6)))


def plain_word(rng: np.random.Generator) -> str:
    """A word of the lists, in lower case."""
    return pick(rng, pick(rng, (words.NOUNS, words.ADJECTIVES, words.VERBS, words.COMMON, words.COMMON)))


def word(rng: np.random.Generator) -> str:
    """A word in lower case: mostly from the lists or made of syllables, now and then misspelt or with accents."""
    kind = rng.random()
    if kind < 0.5:
        return plain_word(rng)
    if kind < 0.75:
        return pseudo_word(rng)
    if kind < 0.85:
        return spelled(rng)
    if kind < 0.93:
        return misspelt(plain_word(rng), rng)
    return accented(pick(rng, (pseudo_word(rng), plain_word(rng), spelled(rng))), rng)


def misspelt(text: str, rng: np.random.Generator) -> str:
    """One letter lost, doubled, changed or out of its place."""
    at = int(rng.integers(len(text)))
    head, letter, tail = text[:at], text[at], text[at + 1 :]
    swapped = tail[:1] + letter + tail[1:]
    return head + pick(rng, (tail, letter + letter + tail, pick(rng, _LETTERS) + tail, swapped)) or text


def accented(text: str, rng: np.random.Generator) -> str:
    """Some letters with accents."""
    return "".join(pick(rng, _ACCENTS[char]) if char in _ACCENTS and rng.random() < 0.3 else char for char in text)


def name(rng: np.random.Generator) -> str:
    """One or two capitalised words, now and then with initials, an apostrophe or a prefix."""
    first = pick(rng, words.NAMES) if rng.random() < 0.4 else pseudo_word(rng).capitalize()
    form = rng.random()
    if form < 0.35:
        return first
    last = pseudo_word(rng).capitalize() if rng.random() < 0.8 else spelled(rng).capitalize()
    if form < 0.45:
        last = pick(rng, ("Mc", "O'", "D'", "de ", "van ", "von ", "El ")) + last
    elif form < 0.55:
        initial = pick(rng, "ABCDEFGHJKLMNOPRSTVWZ")
        first = pick(rng, (f"{initial}.", f"{initial}.{pick(rng, 'ABCDEFGHJ')}.", f"{first} {initial}."))
    return f"{first} {last}"


def foreign_phrase(rng: np.random.Generator) -> str:
    """Words as other Latin languages have them, with small words between and accents."""
    parts = []
    for _ in range(rng.integers(2, 7)):
        part = pick(rng, words.FOREIGN) if rng.random() < 0.5 else accented(pseudo_word(rng), rng)
        parts.append(part.capitalize() if rng.random() < 0.5 else part)
    if rng.random() < 0.15:
        parts[0] = pick(rng, ("L'", "D'", "l'", "d'", "¡", "¿")) + parts[0]
    return " ".join(parts)


def script_phrase(rng: np.random.Generator) -> str:
    """Letters of one other script, in words."""
    letters = pick(rng, _SCRIPTS)
    if rng.random() < 0.2:
        letters = few(letters, rng) + few(letters, rng)
    lengths = rng.integers(1, 8, size=int(rng.integers(1, 5)))
    return " ".join("".join(pick(rng, letters) for _ in range(length)) for length in lengths)


def han(rng: np.random.Generator, low: int, high: int) -> str:
    """`low` to `high` - 1 Chinese characters; one in twelve is a rare one."""
    return "".join(pick(rng, COMMON_HAN if rng.random() < 0.92 else RARE_HAN) for _ in range(rng.integers(low, high)))


def zh_word(rng: np.random.Generator) -> str:
    """A Chinese word of the lists, or a few characters."""
    return pick(rng, words.ZH_WORDS) if rng.random() < 0.55 else han(rng, 1, 4)


def number(rng: np.random.Generator) -> str:
    """A number of one to four digits."""
    return str(int(rng.integers(1, 10 ** int(rng.integers(1, 5)))))

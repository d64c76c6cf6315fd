"""Titles that exist nowhere: products, films, books, headlines, courses, posts and noise, some of them hard to copy."""

from collections.abc import Callable

import numpy as np

from serve.generation import demo_words as words
from serve.generation.demo_spelling import (
    foreign_phrase,
    name,
    number,
    pick,
    plain_word,
    pseudo_word,
    script_phrase,
    spelled,
    word,
)

TitleMaker = Callable[[np.random.Generator], str]


def phrase(rng: np.random.Generator, low: int = 1, high: int = 6) -> str:
    """Words joined by spaces, now and then with a function word, a repeat or a hyphen."""
    parts: list[str] = []
    for _ in range(rng.integers(low, high)):
        if parts and rng.random() < 0.25:
            parts.append(pick(rng, words.FUNCTION_WORDS))
        if parts and rng.random() < 0.12:
            parts.append(parts[int(rng.integers(len(parts)))])
        else:
            parts.append(word(rng))
    if len(parts) > 1 and rng.random() < 0.12:
        parts[0:2] = [f"{parts[0]}-{parts[1]}"]
    return " ".join(parts)


def titled(text: str, rng: np.random.Generator) -> str:
    """Every word with a capital, or all but the small ones, or the first alone."""
    form = rng.random()
    if form < 0.1:
        return text[:1].upper() + text[1:]
    if form < 0.4:
        return " ".join(part.capitalize() for part in text.split(" "))
    small = {"of", "in", "for", "with", "the", "a", "and", "to", "at", "on", "from", "or", "by", "as", "an"}
    text = " ".join(part if part in small else part[:1].upper() + part[1:] for part in text.split(" "))
    return text[:1].upper() + text[1:]


def product(rng: np.random.Generator) -> str:
    """RED HANGING LANTERN T-LIGHT HOLDER, SET OF 6 ..."""
    text = phrase(rng, 2, 7)
    form = rng.random()
    count = number(rng)
    if form < 0.15:
        text = pick(
            rng, (f"set of {count} {text}", f"set/{count} {text}", f"s/{count} {text}", f"pack of {count} {text}")
        )
    elif form < 0.22:
        text = f"{count} {text}"
    elif form < 0.34:
        units = ("cm", "ml", "g", " pieces", "/", "%", "w", f" x {number(rng)}", "s", "'s")
        text = f"{text} {count}{pick(rng, units)}"
    elif form < 0.42:
        text = f"{text},{pick(rng, ('', ' '))}{phrase(rng, 1, 4)}"
    elif form < 0.5:
        text = f"{pick(rng, 'tabcxs')}-{text}"
    elif form < 0.58:
        text = f"{text}{pick(rng, ('/', ' / ', '+', ' & ', ' w ', ' w/ ', '.', ' - '))}{word(rng)}"
    elif form < 0.62:
        text = f"{plain_word(rng)}'s {text}"
    elif form < 0.66:
        text = f"{text} ({phrase(rng, 1, 3)})"
    return text.upper() if rng.random() < 0.75 else titled(text, rng)


def film(rng: np.random.Generator) -> str:
    """The Silent Harbour: Return of the Fox (1987)"""
    text = foreign_phrase(rng) if rng.random() < 0.2 else titled(phrase(rng, 1, 6), rng)
    if rng.random() < 0.3:
        text = f"The {text}"
    if rng.random() < 0.2:
        text = f"{text}{pick(rng, (': ', ' - ', ', '))}{titled(phrase(rng, 1, 6), rng)}"
    if rng.random() < 0.15:
        text = f"{text}{pick(rng, (' II', ' III', ' IV', ' 2', ' 3', ': Part 1', ': Part II', ' 3D', '!', '?', '...'))}"
    if rng.random() < 0.1:
        text = f"{name(rng)}'s {text}"
    return f"{text} ({rng.integers(1900, 2030)})"


def book(rng: np.random.Generator) -> str:
    """The Copper Wolf: A Memoir (The Copper Wolf, #2)"""
    text = titled(phrase(rng, 1, 6), rng)
    form = rng.random()
    if form < 0.12:
        text = f"The {text}"
    elif form < 0.25:
        text = f"{name(rng)}{pick(rng, (' and the', chr(39) + 's', ' of', ', the', ':'))} {text}"
    elif form < 0.3:
        text = foreign_phrase(rng)
    if rng.random() < 0.3:
        subtitle = phrase(rng, 2, 12 if rng.random() < 0.3 else 7)
        lead = pick(rng, ("", "", "A ", "The ", "How to ", "The Story of ", "A Novel of ", "The True Story of "))
        text = f"{text}{pick(rng, (': ', ': ', ': ', ' - ', ', or ', '; or, ', ' / '))}{lead}{titled(subtitle, rng)}"
    if rng.random() < 0.06:
        text = f"{text}, {rng.integers(1000, 2030)}{pick(rng, '-–/')}{rng.integers(1000, 2030)}"
    return f"{text} {_series(text, rng)}" if rng.random() < 0.6 else text


def _series(text: str, rng: np.random.Generator) -> str:
    """(Series, #3), often of the title's own words."""
    own = text.split(" ")
    start = int(rng.integers(len(own)))
    stretch = " ".join(own[start : start + int(rng.integers(1, 5))]).strip(":;,-/ ") or own[0]
    other = titled(phrase(rng, 1, 5), rng)
    series = pick(
        rng, (text.split(":")[0], stretch, f"{stretch} {other}", f"{other} {stretch}", name(rng), other, other)
    )
    place = f"#{rng.integers(1, 30)}{pick(rng, ('', '', '', '', '', '.5', f'-{rng.integers(2, 9)}'))}"
    place = pick(rng, (place, place, place, place, f"Vol. {rng.integers(1, 20)}", f"Book {rng.integers(1, 9)}"))
    others = (
        name(rng),
        series,
        f"{series} {titled(phrase(rng, 1, 3), rng)}",
        f"{titled(phrase(rng, 1, 3), rng)} {series}",
    )
    more = ""
    if rng.random() < 0.25:
        for _ in range(rng.integers(1, 4)):
            more += f"; {pick(rng, others)}, {pick(rng, (place, f'#{rng.integers(1, 60)}'))}"
    elif rng.random() < 0.1:
        more = "".join(
            f", {pick(rng, '##-')}{rng.integers(1, 9)}.{rng.integers(1, 9)}" for _ in range(rng.integers(1, 5))
        )
    return f"({series}{pick(rng, (',', ',', ''))} {place}{more})"


def headline(rng: np.random.Generator) -> str:
    """Osterham council closes two schools, 40 teachers"""
    text = f"{name(rng)} {phrase(rng, 3, 10)}"
    ends = (
        "",
        "",
        "",
        "?",
        "!",
        f", {number(rng)} {word(rng)}",
        f": {phrase(rng, 2, 5)}",
        f" - {name(rng)}",
        f" {number(rng)}%",
    )
    return f"{text}{pick(rng, ends)}"


def course(rng: np.random.Generator) -> str:
    """Introduction to Sewing 2.1"""
    starts = (
        "Introduction to",
        "Learn",
        "A Guide to",
        "Advanced",
        f"{number(rng)} Days of",
        "Hands-On",
        "The Complete",
        "",
    )
    ends = ("", "", f" {number(rng)}.{number(rng)}", " for Beginners", f", Part {rng.integers(1, 9)}", " (v2)", " 101")
    return f"{pick(rng, starts)} {titled(phrase(rng, 1, 4), rng)}{pick(rng, ends)}".strip()


def noise(rng: np.random.Generator) -> str:
    """Odd titles: marks, codes, accents, many repeats."""
    makers = (word, word, name, spelled, number, pseudo_word, code)
    parts = [pick(rng, makers)(rng) for _ in range(rng.integers(1, 8))]
    parts = [part.upper() if rng.random() < 0.25 else part for part in parts]
    if rng.random() < 0.4:
        parts += parts[: int(rng.integers(1, len(parts) + 1))]
    joint = pick(rng, (" ", " ", " ", " & ", "/", ", ", " - ", "...", "; ", " + ", ".", " | ", "_", "-", "'", ""))
    text = joint.join(parts)
    for _ in range(rng.integers(0, 3)):
        at = int(rng.integers(len(text) + 1))
        text = text[:at] + pick(rng, "éèüöñçåøß€£$#@*&%!?'`~^=<>[]{}()+-/.,:;–—’…™°½") + text[at:]
    return text.strip() or "X"


def short(rng: np.random.Generator) -> str:
    """1984, It, V., S-21, Kes (1969)"""
    text = pick(rng, (number, spelled, word, name, code, plain_word))(rng)
    text = text.capitalize() if rng.random() < 0.6 else text.upper()
    ends = ("", "", ".", "!", f" ({rng.integers(1900, 2030)})", f" ({name(rng)}, #{rng.integers(1, 9)})")
    return f"{text}{pick(rng, ends)}"


def other_script(rng: np.random.Generator) -> str:
    """Words of another script or language, alone or beside English ones."""
    text = script_phrase(rng) if rng.random() < 0.6 else foreign_phrase(rng)
    form = rng.random()
    if form < 0.4:
        return text
    if form < 0.7:
        return f"{text} ({rng.integers(1900, 2030)})"
    return pick(
        rng, (f"{titled(phrase(rng, 1, 4), rng)} ({text})", f"{text}{pick(rng, (' ', ': ', ' / '))}{name(rng)}")
    )


def long(rng: np.random.Generator) -> str:
    """More than fits: the prompt cuts it."""
    parts = [titled(phrase(rng, 3, 9), rng)]
    while sum(map(len, parts)) < 90:
        parts.append(pick(rng, (titled(phrase(rng, 2, 9), rng), name(rng), phrase(rng, 2, 6), parts[0])))
    joint = pick(rng, (": ", ", ", " - ", "; ", " and ", "/", " & ", " of the "))
    return joint.join(parts)


def code(rng: np.random.Generator) -> str:
    """X-4, B52, 3D, 12.5"""
    letters = spelled(rng)[:3].upper()
    digits = number(rng)
    return pick(
        rng,
        (
            f"{letters}{digits}",
            f"{letters}-{digits}",
            f"{digits}{letters}",
            f"{digits}.{rng.integers(10)}",
            f"{letters[0]}.{letters[-1]}.",
        ),
    )


ENGLISH: tuple[TitleMaker, ...] = (
    product, product, product, film, film, book, book, book, headline, course, noise, short, other_script, long,
)  # fmt: skip

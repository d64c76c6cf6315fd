"""Chinese titles that exist nowhere: plain ones, and some with Latin words, codes and numbers among them."""

import numpy as np

from serve.generation import demo_words as words
from serve.generation.demo_spelling import accented, han, name, number, pick, pseudo_word, word, zh_word
from serve.generation.demo_titles import TitleMaker, code


def zh_phrase(rng: np.random.Generator, high: int = 6) -> str:
    """Chinese words in a row, with joints between some and now and then one of them again."""
    parts = [zh_word(rng)]
    for _ in range(rng.integers(0, high)):
        if rng.random() < 0.3:
            parts.append(pick(rng, words.ZH_JOINTS))
        parts.append(parts[int(rng.integers(len(parts)))] if rng.random() < 0.15 else zh_word(rng))
    return "".join(parts).strip()


def zh_plain(rng: np.random.Generator) -> str:
    """复古木质收纳盒（3件）"""
    text = zh_phrase(rng, 12 if rng.random() < 0.1 else 6)
    form = rng.random()
    if form < 0.15:
        text = f"{text}（{pick(rng, (zh_word(rng), zh_word(rng), f'第{number(rng)}集', text[:2]))}）"
    elif form < 0.3:
        text = f"{pick(rng, ('第', '', '', '新'))}{number(rng)}{pick(rng, '个只款集天招课年种件')}{text}"
    elif form < 0.42:
        text = f"{text}{pick(rng, ('？', '！', '……', '，', '：', '、', '+', '·', '——'))}{zh_phrase(rng)}"
    elif form < 0.5:
        text = f"{text} ({rng.integers(1900, 2030)})"
    elif form < 0.55:
        text = f"{text}{han(rng, 4, 14)}"
    return text


def zh_mixed(rng: np.random.Generator) -> str:
    """Latin words among Chinese ones."""
    latin = pick(rng, (name(rng), word(rng).upper(), pseudo_word(rng), accented(name(rng).lower(), rng), code(rng)))
    space = pick(rng, ("", " "))
    return pick(
        rng,
        (
            f"{latin}{space}{zh_phrase(rng)}",
            f"{zh_phrase(rng)}{space}{latin}",
            f"{zh_word(rng)}{space}{latin}{space}{zh_phrase(rng)}",
            f"{zh_phrase(rng)} {latin} {number(rng)}{pick(rng, ('', 'ml', '寸', '元', '周年'))}",
        ),
    )


CHINESE: tuple[TitleMaker, ...] = (zh_plain, zh_plain, zh_plain, zh_mixed)

"""Text to facets: hashes, keywords and languages of titles, tags and comments, in English and Chinese."""

import logging
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from threading import Lock
from typing import Any

import xxhash

from interest.events import Facet
from interest.items import Item
from interest.stop_words import CHINESE_STOP_WORDS, ENGLISH_STOP_WORDS, NO_PLURALS

CATEGORY_WEIGHT = 1.0
TAG_WEIGHT = 0.8
TITLE_WEIGHT = 0.5
TEXT_WEIGHT = 0.25
MAX_TEXT_KEYWORDS = 8  # of an item's text, the most frequent ones
CHINESE_SHARE = 0.2  # of a text's letters; one Chinese character says about as much as four Latin letters

_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff"
_CHARACTER = re.compile(f"[{_CJK}]")
_WORD = re.compile(rf"(?P<chinese>[{_CJK}]+)|(?P<latin>[^\W_{_CJK}]+(?:['’&+#]+[^\W_{_CJK}]+)*[+#]*)")
_SIBILANT_PLURALS = ("sses", "shes", "ches", "xes", "zes")

_segmenter_lock = Lock()
_segmenter: Any = None


@lru_cache(maxsize=65_536)
def facet_hash(kind: str, name: str) -> int:
    """The facet as an integer, 0 to 2**64 - 1: xxh64 of the kind and the normalised name."""
    return int(xxhash.xxh64_intdigest(f"{kind}\0{normalised(name)}".encode()))


def normalised(name: str) -> str:
    """The form in which two names are the same: NFKC, case folded, stripped."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def detect_language(text: str) -> str:
    """ "zh" when at least a fifth of the letters are Chinese characters, otherwise "en"."""
    chinese = len(_CHARACTER.findall(text))
    letters = sum(map(str.isalpha, text))
    return "zh" if chinese and chinese >= CHINESE_SHARE * letters else "en"


def keywords(text: str, language: str) -> tuple[str, ...]:
    """The telling words of a text, lower case, each once, in order of their first place.

    Chinese runs are cut into words, whatever the language. `language` "en" makes English plurals singular;
    in a Chinese text Latin words are names and stay as they are. Numbers and single characters are left out.
    """
    return tuple(dict.fromkeys(_words(text, language)))


def item_facets(item: Item) -> tuple[tuple[Facet, float], ...]:
    """What an item is about, as (facet, weight 0 to 1), each facet once, heaviest first.

    Categories weigh 1, tags 0.8, words of the title 0.5, the most frequent words of the text 0.25.
    """
    in_text = Counter(_words(item.text, item.language)).most_common(MAX_TEXT_KEYWORDS)
    weighted = (
        ("category", item.categories, CATEGORY_WEIGHT),
        ("tag", item.tags, TAG_WEIGHT),
        ("keyword", keywords(item.title, item.language), TITLE_WEIGHT),
        ("keyword", [word for word, _ in in_text], TEXT_WEIGHT),
    )
    facets: dict[int, tuple[Facet, float]] = {}
    for kind, names, weight in weighted:
        for name in filter(normalised, names):
            facets.setdefault(facet_hash(kind, name), (Facet(kind, name), weight))
    return tuple(facets.values())


def _words(text: str, language: str) -> Iterable[str]:
    for found in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        chinese = found["chinese"]
        if chinese:
            yield from (word for word in _cut(chinese) if len(word) > 1 and word not in CHINESE_STOP_WORDS)
        else:
            yield from _latin(found["latin"], language)


def _latin(token: str, language: str) -> Iterable[str]:
    word = token.replace("’", "'").removesuffix("'s")
    if len(word) < 2 or word.isnumeric() or word in ENGLISH_STOP_WORDS:
        return
    yield singular(word) if language == "en" else word


def singular(word: str) -> str:
    """The singular of a lower-case English word by its ending; words such as "news" and "glass" stay."""
    if len(word) <= 3 or word in NO_PLURALS or not word.isascii() or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(_SIBILANT_PLURALS):
        return word[:-2]
    return word.removesuffix("s")


def _cut(run: str) -> Iterable[str]:
    words: Iterable[str] = _chinese_segmenter().cut(run)
    return words


def _chinese_segmenter() -> Any:
    """jieba with its own dictionary, read (about a second, 100 MB) when the first Chinese text is met."""
    global _segmenter
    with _segmenter_lock:
        if _segmenter is None:
            _segmenter = _load_segmenter()
    return _segmenter


def _load_segmenter() -> Any:
    with warnings.catch_warnings():
        # jieba 0.42.1 has unescaped backslashes in its source and imports the deprecated pkg_resources.
        warnings.filterwarnings("ignore", category=SyntaxWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
        import jieba
    jieba.setLogLevel(logging.WARNING)
    segmenter = jieba.Tokenizer()
    # Not `initialize`: that trusts a marshalled cache in the shared temporary folder.
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter

"""Text to facets, in English, Chinese and both at once."""

import subprocess
import sys

import pytest

from interest.events import Facet
from interest.features import detect_language, facet_hash, item_facets, keywords, singular
from interest.items import Item


def test_names_that_read_the_same_have_one_hash() -> None:
    assert facet_hash("tag", "Tea") == facet_hash("tag", " tea ") == facet_hash("tag", "ＴＥＡ")
    assert facet_hash("tag", "tea") != facet_hash("category", "tea")
    assert 0 <= facet_hash("tag", "tea") < 2**64


def test_the_hash_of_a_facet_is_the_same_in_every_release() -> None:
    assert facet_hash("tag", "tea") == 576541213327802967


def test_english_keywords_are_singular_words_without_stop_words_or_numbers() -> None:
    text = "SET OF 6 Red Spotty Tea-Cups and the lunch boxes of Anna's ladies, 24 glasses"
    assert keywords(text, "en") == ("red", "spotty", "tea", "cup", "lunch", "box", "anna", "lady", "glass")


def test_a_keyword_is_given_once_at_its_first_place() -> None:
    assert keywords("tea cup, cups of tea", "en") == ("tea", "cup")


def test_chinese_is_cut_into_words_without_stop_words() -> None:
    assert keywords("我们喜欢编程入门课程", "zh") == ("喜欢", "编程", "入门", "课程")


def test_latin_names_in_chinese_text_stay_as_they_are() -> None:
    assert keywords("这款iPhone手机壳兼容AirPods", "zh")[:2] == ("iphone", "手机")
    assert "airpods" in keywords("这款iPhone手机壳兼容AirPods", "zh")


def test_chinese_in_an_english_text_is_cut_too() -> None:
    assert keywords("Learn 编程入门 with C++", "en") == ("learn", "编程", "入门", "c++")


@pytest.mark.parametrize("text", ["", " ", "12 34", "a b c", "！？。", "🙂"])
def test_text_without_words_has_no_keywords(text: str) -> None:
    assert keywords(text, "en") == keywords(text, "zh") == ()


@pytest.mark.parametrize(
    ("plural", "expected"),
    [("cups", "cup"), ("stories", "story"), ("boxes", "box"), ("dishes", "dish"), ("news", "news"), ("bus", "bus")],
)
def test_plurals_become_singular_by_their_ending(plural: str, expected: str) -> None:
    assert singular(plural) == expected


def test_language_is_told_by_the_share_of_chinese_characters() -> None:
    assert detect_language("iPhone 15 手机壳") == "zh"
    assert detect_language("A guide to the word 茶 in English literature") == "en"
    assert detect_language("") == detect_language("1234") == "en"


def test_facets_of_an_item_weigh_less_the_further_they_are_from_its_category() -> None:
    item = Item(
        item_id="1", title="Blue Tea Cups", categories=("Kitchen",), tags=("tea",), text="A porcelain cup, a fine cup."
    )
    assert item_facets(item) == (
        (Facet("category", "Kitchen"), 1.0),
        (Facet("tag", "tea"), 0.8),
        (Facet("keyword", "blue"), 0.5),
        (Facet("keyword", "tea"), 0.5),
        (Facet("keyword", "cup"), 0.5),
        (Facet("keyword", "porcelain"), 0.25),
        (Facet("keyword", "fine"), 0.25),
    )


def test_two_spellings_of_one_tag_are_one_facet_and_an_empty_one_is_none() -> None:
    assert item_facets(Item(item_id="1", title="", tags=("Tea", "tea ", " "))) == ((Facet("tag", "Tea"), 0.8),)


def test_only_the_most_frequent_words_of_a_long_text_count() -> None:
    text = " ".join([f"word{number}" for number in range(50)] + ["porcelain porcelain"])
    names = [facet.name for facet, _ in item_facets(Item(item_id="1", title="", text=text))]
    assert names[0] == "porcelain"
    assert len(names) == 8


@pytest.mark.thorough
def test_chinese_is_loaded_quietly_and_only_when_it_is_met() -> None:
    code = (
        "import sys; from interest.features import keywords;"
        "keywords('tea cups', 'en'); assert 'jieba' not in sys.modules;"
        "assert keywords('编程入门', 'zh') == ('编程', '入门')"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""The encoders' own promises: Chinese retrieval, caching, shares of the combined vector, damaged files."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from interest.batch import Floats, Longs
from interest.errors import InvalidRelease
from interest.items import Item
from ranking.encoder import CachedEncoder, CombinedEncoder, NgramEncoder, load_encoder
from ranking.encoder_files import SETTINGS_FILE

CHINESE = {
    "coffee": "手冲咖啡壶不锈钢 云南小粒咖啡豆 意式浓缩咖啡机 咖啡滤纸一百张 "
    "挂耳咖啡十二包 手摇咖啡磨豆机 冷萃咖啡玻璃瓶",
    "football": "国家队足球世界杯预选赛 青年足球联赛开幕 女子足球队夺冠 足球门将扑出点球 "
    "足球比赛加时绝杀 校园足球训练营 足球裁判规则讲解",
    "phones": "折叠屏手机新品发布 手机电池续航测试 二手手机回收价格 手机摄影入门技巧 "
    "防摔手机壳透明款 手机快充充电器 学生手机性价比推荐",
    "cooking": "家常红烧肉做法 川味麻婆豆腐做法 十分钟番茄炒蛋做法 清蒸鲈鱼做法窍门 "
    "糖醋排骨做法详解 凉拌黄瓜做法 葱油拌面家常做法",
    "python": "零基础编程入门课程 编程算法训练营 儿童编程启蒙课程 数据分析编程实战课程 "
    "网页编程课程 游戏编程入门 编程面试题精讲课程",
    "history": "唐代历史人物故事 丝绸之路历史讲座 明朝历史纪录片 古城历史文化漫步 "
    "三国历史真相 近代历史老照片 历史博物馆一日游",
}


def nearest_share_topic(vectors: Floats, topics: Sequence[str]) -> float:
    """Share of texts whose nearest other text is of the same topic."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = similarity.argmax(axis=1)
    return float(np.mean([topics[row] == topics[near] for row, near in enumerate(nearest)]))


def test_chinese_titles_find_their_own_topic_far_above_chance() -> None:
    """Chance is 6 of 41; at least three in four must be right, and vectors without meaning must not pass."""
    texts = [title for titles in CHINESE.values() for title in titles.split()]
    topics = [topic for topic, titles in CHINESE.items() for _ in titles.split()]
    vectors = NgramEncoder.fit(texts, 24, np.random.default_rng(0)).encode(texts)
    assert nearest_share_topic(vectors, topics) >= 0.75
    noise = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    assert nearest_share_topic(noise, topics) <= 0.4


def test_fitting_twice_with_one_seed_gives_one_encoder_and_another_text_another_name() -> None:
    texts = ["red lamp", "blue lamp", "green chair"]
    one, two = (NgramEncoder.fit(texts, 4, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.encode(texts), two.encode(texts))
    assert one.name == two.name
    assert NgramEncoder.fit([*texts, "table"], 4, np.random.default_rng(7)).name != one.name


def test_more_dimensions_than_texts_leave_the_last_ones_zero() -> None:
    encoder = NgramEncoder.fit(["red lamp", "blue chair"], 6, np.random.default_rng(0))
    vectors = encoder.encode(["red lamp"])
    assert vectors.shape == (1, 6)
    assert not vectors[0, 2:].any()


def test_a_catalogue_without_texts_still_makes_an_encoder() -> None:
    encoder = NgramEncoder.fit([], 4, np.random.default_rng(0))
    assert encoder.encode(["lamp", ""]).tolist() == [[0.0] * 4] * 2


def test_width_and_case_of_characters_do_not_matter() -> None:
    encoder = NgramEncoder.fit(["usb cable 2m", "lamp"], 2, np.random.default_rng(0))
    one, other = encoder.encode(["USB  cable 2m", "ｕｓｂ cable 2m"])
    np.testing.assert_allclose(one, other, atol=1e-6)


class CountingEncoder:
    """Counts characters, and how many texts it was asked for."""

    name, dims = "counting", 1

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Floats:
        self.asked += texts
        return np.array([[len(text)] for text in texts], dtype=np.float32).reshape(len(texts), 1)

    def count_tokens(self, texts: Sequence[str]) -> Longs:
        return np.array([len(text.split()) for text in texts], dtype=np.int64)

    def save(self, folder: Path) -> None:
        raise AssertionError(f"nobody saves this one, to {folder}")


def test_a_text_met_before_or_twice_in_a_call_is_encoded_once() -> None:
    inner = CountingEncoder()
    encoder = CachedEncoder(inner)
    assert encoder.encode(["a", "bb", "a"]).tolist() == [[1], [2], [1]]
    assert encoder.encode(["bb", "ccc"]).tolist() == [[2], [3]]
    assert inner.asked == ["a", "bb", "ccc"]


def test_the_cache_is_bounded_and_still_right_beyond_its_bound() -> None:
    inner = CountingEncoder()
    encoder = CachedEncoder(inner, size=2)
    assert encoder.encode(["a", "bb", "ccc"]).tolist() == [[1], [2], [3]]
    assert encoder.encode(["a", "ccc"]).tolist() == [[1], [3]]
    assert inner.asked == ["a", "bb", "ccc", "a"]


class EnglishStandIn(CountingEncoder):
    name, dims = "english", 2

    def encode(self, texts: Sequence[str]) -> Floats:
        return np.tile(np.array([0.6, 0.8], dtype=np.float32), (len(texts), 1))


def test_a_chinese_text_has_the_neutral_part_alone_and_an_english_one_both() -> None:
    neutral = NgramEncoder.fit(["手冲咖啡壶", "red lamp"], 2, np.random.default_rng(0))
    encoder = CombinedEncoder(neutral, EnglishStandIn())
    chinese, english, unknown = encoder.encode(["手冲咖啡壶", "red lamp", "zzz"])
    assert float(np.linalg.norm(chinese[:2])) == pytest.approx(1, abs=1e-6)
    assert not chinese[2:].any()
    assert float(np.linalg.norm(english[2:])) ** 2 == pytest.approx(0.6, abs=1e-6)
    np.testing.assert_allclose(unknown, [0, 0, 0.6, 0.8], atol=1e-6)  # nothing neutral: English takes all


def test_tokens_are_those_of_the_part_that_tells_most_and_of_known_texts_too() -> None:
    neutral = NgramEncoder.fit(["手冲咖啡壶", "red lamp"], 2, np.random.default_rng(0))
    encoder = CachedEncoder(CombinedEncoder(neutral, EnglishStandIn()))
    texts = ["red hanging lamp", "手冲咖啡壶", ""]
    encoder.encode(texts)
    assert encoder.count_tokens(texts).tolist() == [3, len(" 手冲咖啡壶 "), 0]


def test_files_that_are_not_of_one_another_do_not_load(tmp_path: Path) -> None:
    encoder = NgramEncoder.fit(["red lamp"], 2, np.random.default_rng(0))
    encoder.save(tmp_path)
    settings = json.loads((tmp_path / "ngram.json").read_text())
    (tmp_path / "ngram.json").write_text(json.dumps(settings | {"name": "ngram-2-other"}))
    with pytest.raises(InvalidRelease, match="ngram-2-other"):
        load_encoder(tmp_path)
    (tmp_path / "ngram.json").write_text(json.dumps(settings | {"ngrams": [2, 3]}))
    with pytest.raises(InvalidRelease, match="need the code"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(("change", "said"), [({"kind": "glove"}, "must be ngram"), ({"dims": 3}, "encoder.json says")])
def test_a_folder_that_says_something_else_does_not_load(
    tmp_path: Path, change: dict[str, str | int], said: str
) -> None:
    NgramEncoder.fit(["red lamp"], 2, np.random.default_rng(0)).save(tmp_path)
    settings = json.loads((tmp_path / SETTINGS_FILE).read_text())
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(settings | change))
    with pytest.raises(InvalidRelease, match=said):
        load_encoder(tmp_path)


def test_items_are_encoded_by_what_they_say() -> None:
    items = [Item(item_id="1", title="Red lamp", tags=("light",)), Item(item_id="2", title="Blue chair")]
    encoder = NgramEncoder.fit([item.content() for item in items], 2, np.random.default_rng(0))
    assert encoder.encode([items[0].content()]).any()

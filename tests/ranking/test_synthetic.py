"""The synthetic world: seeded, varied, and with interests that can be learnt."""

import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from interest.events import EventType
from interest.items import DOMAINS, LANGUAGES
from ranking.synthetic import DEFAULT_END, World, make_world, write_world
from ranking.synthetic_items import category_topics

pytestmark = pytest.mark.thorough

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(np.random.default_rng(7), items_per_domain=150, users=150, events=15_000)


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    first, second, other = (
        make_world(np.random.default_rng(seed), items_per_domain=20, users=10, events=500) for seed in (3, 3, 4)
    )
    assert first == second
    assert first.items != other.items
    assert first.events != other.events


def test_sizes_are_exact_and_impossible_sizes_are_refused(world: World) -> None:
    assert (len(world.items), len(world.users), len(world.events)) == (750, 150, 15_000)
    with pytest.raises(ValueError, match="users=0"):
        make_world(np.random.default_rng(0), users=0)


def test_item_ids_and_titles_are_unique_even_when_the_patterns_run_out() -> None:
    crowded = make_world(np.random.default_rng(1), items_per_domain=1_500, users=1, events=0)
    assert len({item.item_id for item in crowded.items}) == len(crowded.items)
    assert len({item.title for item in crowded.items}) == len(crowded.items)


def test_half_of_each_domain_is_chinese_and_every_item_is_complete(world: World) -> None:
    count = Counter((item.domain, item.language) for item in world.items)
    assert count == {(domain, language): 75 for domain in DOMAINS for language in LANGUAGES}
    for item in world.items:
        assert item.title.strip() == item.title
        assert 1 <= len(item.categories) <= 2
        assert len(item.tags) >= 2
        assert "{" not in item.title + item.text
        assert bool(CHINESE.search(item.text)) == (item.language == "zh")
        assert item.price is None or item.price >= 0.0
        assert (item.price is None) == (item.domain in ("social", "news"))


def test_each_domain_has_at_least_six_categories_in_each_language(world: World) -> None:
    names = {(item.domain, item.language, item.categories[0]) for item in world.items}
    per_group = Counter((domain, language) for domain, language, _ in names)
    assert min(per_group.values()) >= 6


def test_titles_have_numbers_punctuation_and_mixed_scripts(world: World) -> None:
    titles = [item.title for item in world.items]
    chinese = [item.title for item in world.items if item.language == "zh"]
    assert np.mean([bool(re.search(r"\d", title)) for title in titles]) > 0.2
    assert np.mean([bool(re.search(r"[A-Za-z]{2}", title)) for title in chinese]) > 0.05
    assert any(title.isupper() for title in titles)


def test_events_fill_the_year_in_order_and_never_precede_their_item(world: World) -> None:
    times = [event.timestamp for event in world.events]
    assert times == sorted(times)
    assert world.start <= times[0] < world.start + 5 * 86_400
    assert DEFAULT_END - 2 * 86_400 < times[-1] < DEFAULT_END
    created = {item.item_id: item.created_at or 0.0 for item in world.items}
    assert all(event.timestamp >= created[event.item_id] for event in world.events)
    assert len({event.event_id for event in world.events}) == len(world.events)


def test_events_are_of_many_types_with_the_values_that_belong_to_them(world: World) -> None:
    kinds = Counter(event.type for event in world.events)
    assert set(kinds) >= set(EventType) - {EventType.IMPRESSION}
    for event in world.events:
        if event.type is EventType.RATING:
            assert event.value in (1.0, 2.0, 3.0, 4.0, 5.0)
        elif event.type is EventType.PORTION:
            assert event.value is not None
            assert 0.0 <= event.value <= 1.0
        elif event.type is EventType.PURCHASE:
            assert event.value is not None
            assert event.value >= 1.0
        else:
            assert event.value is None
        assert bool(event.text) == (event.type is EventType.COMMENT)


def test_popularity_is_skewed_and_some_purchases_repeat(world: World) -> None:
    seen = np.array(sorted(Counter(event.item_id for event in world.events).values(), reverse=True))
    assert seen[: len(seen) // 10].sum() > 0.3 * seen.sum()
    bought = Counter((event.user_id, event.item_id) for event in world.events if event.type is EventType.PURCHASE)
    assert sum(count > 1 for count in bought.values()) >= 20


def test_future_events_fall_in_the_users_past_topics_far_above_chance(world: World) -> None:
    topic_of = category_topics()
    topics = {item.item_id: topic_of[item.domain, item.categories[0]] for item in world.items}
    cut = world.start + 0.7 * (world.end - world.start)
    past: dict[str, Counter[str]] = {}
    for event in world.events:
        if event.timestamp < cut:
            past.setdefault(event.user_id, Counter())[topics[event.item_id]] += 1
    favourites = {user: {topic for topic, _ in count.most_common(4)} for user, count in past.items()}
    future = [event for event in world.events if event.timestamp >= cut and event.user_id in favourites]
    rng = np.random.default_rng(0)
    strangers = rng.permutation(sorted(favourites)).tolist()
    own = np.mean([topics[event.item_id] in favourites[event.user_id] for event in future])
    chance = np.mean(
        [topics[event.item_id] in favourites[strangers[row % len(strangers)]] for row, event in enumerate(future)]
    )
    assert own > 0.65
    assert own > 3 * chance


def test_users_prefer_their_own_language(world: World) -> None:
    languages = {item.item_id: item.language for item in world.items}
    preference = {user.user_id: user.language for user in world.users if user.language != "both"}
    same = [languages[e.item_id] == preference[e.user_id] for e in world.events if e.user_id in preference]
    assert np.mean(same) > 0.8
    assert all(set(user.attributes) == {"language", "price_level"} for user in world.users)


def test_a_written_world_holds_every_row(world: World, tmp_path: Path) -> None:
    items, events = write_world(world, tmp_path / "world")
    rows = pq.read_table(items).to_pylist()
    assert [row["title"] for row in rows] == [item.title for item in world.items]
    assert rows[0]["tags"] == list(world.items[0].tags)
    assert pq.read_table(events)["event_id"].to_pylist() == [event.event_id for event in world.events]


@pytest.mark.slow
def test_the_default_world_takes_less_than_ten_seconds_of_cpu() -> None:
    started = time.process_time()
    make_world(np.random.default_rng(0))
    assert time.process_time() - started < 10.0

"""The retriever: never short, never ineligible, complete scores, and nobody's reply depends on the neighbours."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ranking.eligibility
from interest.batch import Doubles
from interest.catalogue import Catalogue, CatalogueView
from interest.errors import InvalidConfig, InvalidRequest
from interest.events import EVENT_CODES, EventType
from interest.items import Item
from interest.store.protocol import EventColumns, ItemChange
from ranking.popularity import DAY_S, WINDOW, Popularity
from ranking.retriever import Retriever
from ranking.sources import COLLABORATIVE, CONTENT, POPULAR, REPEAT, SCORES, SESSION, SOURCES, TOGETHER
from tests.ranking.shelf import (
    DIMS,
    ITEMS,
    LEARNED,
    NOW,
    WIDTH,
    alike,
    boosts,
    changes,
    item,
    of,
    requests,
    retriever,
    users,
)


def eligible(
    behaviour: dict[int, EventType], exclude_seen: bool, exclude: set[int], domain: str, dear: bool
) -> set[int]:
    """The same rules, item by item."""
    unseen = {EventType.IMPRESSION, EventType.SKIP}
    refused = {key for key, kind in behaviour.items() if kind in (EventType.HIDE, EventType.DISLIKE)}
    seen = {key for key, kind in behaviour.items() if kind not in unseen} if exclude_seen else set()
    keys = {key for key in range(ITEMS) if item(key).available and not item(key).created_at}
    keys = {key for key in keys if not domain or item(key).domain == domain}
    return {key for key in keys if dear or (item(key).price or 0) < 1} - refused - seen - exclude


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_everyone_gets_the_smaller_of_what_they_want_and_what_is_eligible(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    made = retriever(rng)
    kinds = st.sampled_from(list(EventType))
    behaviour = data.draw(st.lists(st.dictionaries(st.integers(0, 450), kinds, max_size=30), min_size=1, max_size=4))
    behaviour.append(dict.fromkeys(range(0, ITEMS, 2), EventType.PURCHASE))
    wanted = data.draw(st.lists(st.integers(1, 500), min_size=len(behaviour), max_size=len(behaviour)))
    exclude = [data.draw(st.lists(st.integers(0, 500), max_size=20)) for _ in behaviour]
    domain, dear = data.draw(st.sampled_from(["", "news"])), data.draw(st.booleans())
    exclude_seen, vectors = data.draw(st.booleans()), data.draw(st.booleans())
    asked = requests(wanted, exclude_seen, exclude, domain, expression="" if dear else "price < 1")
    batch = made.retrieve(users(rng, behaviour, vectors=vectors), asked)
    for user, items in enumerate(behaviour):
        keys, _ = of(batch, user)
        allowed = eligible(items, exclude_seen, set(exclude[user]), domain, dear)
        assert set(keys.tolist()) <= allowed
        assert len(keys) == min(wanted[user], len(allowed))
        assert (np.diff(keys) > 0).all()


def test_a_request_gets_bit_equal_scores_whatever_batch_it_travels_in() -> None:
    rng = np.random.default_rng(1)
    made = retriever(rng)
    batch = users(rng, [dict.fromkeys(range(user, user + 9), EventType.PURCHASE) for user in range(40)])
    together = made.retrieve(batch, requests([60] * 40, exclude_seen=True))
    for user in (0, 17, 39):
        rows = slice(batch.behaviour_offsets[user], batch.behaviour_offsets[user + 1])
        behaviour = {name: getattr(batch, name)[rows] for name in batch.to_tensors() if name.startswith("behaviour_")}
        one = slice(user, user + 1)
        parts = {
            name: getattr(batch, name)[one] for name in ("now", "vector", "recent_vector", "session_vector", "content")
        }
        alone = replace(batch, **parts, **behaviour)
        alone = replace(alone, behaviour_offsets=np.array([0, 9]), facet_offsets=np.zeros(2, np.int64))
        answer = made.retrieve(alone, requests([60], exclude_seen=True))
        for ours, theirs in zip(of(answer, 0), of(together, user), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_every_candidate_has_all_source_scores_that_are_defined() -> None:
    rng = np.random.default_rng(2)
    made = retriever(rng)
    own = {4: EventType.PURCHASE, 350: EventType.VIEW, 6: EventType.IMPRESSION}
    batch = users(rng, [own])
    keys, scores = of(made.retrieve(batch, requests([500])), 0)
    view = made._catalogue.view()
    rows = view.rows(keys)
    vectors = np.full((ITEMS, DIMS), np.nan)
    for index, part in ((made._next_items, made._next), (made._together_items, made._together)):
        found = index._snapshot
        vectors[found.keys, part] = found.main_vectors
    half = DIMS // 2
    ahead, together = vectors[keys, :half], vectors[keys, half:]
    np.testing.assert_allclose(scores[:, COLLABORATIVE], ahead @ batch.vector[0, :half], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores[:, SESSION], ahead @ batch.session_vector[0, :half], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores[:, TOGETHER], together @ batch.vector[0, half:], rtol=1e-4, atol=1e-5)
    cosine = (view.content[rows] @ batch.content[0].T).max(axis=1)
    cosine[~view.content[rows].any(axis=1)] = np.nan
    np.testing.assert_allclose(scores[:, CONTENT], cosine, rtol=1e-4, atol=1e-5)
    counts = made._popularity.counts(NOW, view)[rows, WINDOW[30]]
    np.testing.assert_allclose(scores[:, POPULAR], np.log1p(counts), rtol=1e-6)
    decay = 2 ** (-10 / 30)
    repeat = {4: decay, 350: 0.2 * decay}
    np.testing.assert_allclose(scores[:, REPEAT], [repeat.get(key, np.nan) for key in keys.tolist()], rtol=1e-6)
    assert scores.shape[1] == len(SCORES)


def test_each_source_brings_its_best_item() -> None:
    rng = np.random.default_rng(3)
    made = retriever(rng)
    batch = users(rng, [{200: EventType.PURCHASE}])
    all_keys, all_scores = of(made.retrieve(batch, requests([500])), 0)
    keys, _ = of(made.retrieve(batch, requests([20])), 0)
    for source in range(len(SCORES)):
        assert all_keys[np.nanargmax(all_scores[:, source])] in keys


def test_items_made_later_are_left_out_of_past_requests_and_only_of_those() -> None:
    rng = np.random.default_rng(4)
    made = retriever(rng)
    made_at = NOW + 30 * DAY_S
    now = np.array([NOW, made_at - 1, made_at, NOW])
    asked = requests([500] * 4, created_until=[NOW, made_at - 1, made_at, np.inf])
    batch = made.retrieve(users(rng, [{}, {}, {}, {}], now=now), asked)
    assert [7 in of(batch, user)[0] for user in range(4)] == [False, False, True, True]


def test_dates_are_sorted_once_for_a_version_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    made = retriever(rng)
    batch = users(rng, [{}])
    sorted_dates: list[int] = []
    slow = ranking.eligibility._sorted_dates

    def counted(view: CatalogueView) -> Doubles:
        sorted_dates.append(view.version)
        return slow(view)

    monkeypatch.setattr(ranking.eligibility, "_sorted_dates", counted)
    for _ in range(3):
        made.retrieve(batch, requests([5]))
    assert len(sorted_dates) == 1
    made.apply(
        [ItemChange(ITEMS + 1, ITEMS + 5, "late", Item(item_id="late", title="", created_at=NOW + 9e6), None, "")]
    )
    assert ITEMS + 5 not in of(made.retrieve(batch, requests([500])), 0)[0]
    assert ITEMS + 5 in of(made.retrieve(batch, requests([500], created_until=[NOW + 9e6])), 0)[0]
    assert len(sorted_dates) == 2


def test_a_new_item_is_found_by_its_content_at_once_and_a_deleted_one_never_again() -> None:
    rng = np.random.default_rng(5)
    made = retriever(rng)
    batch = users(rng, [{}])
    fresh = Item(item_id="fresh", title="Fresh")
    made.apply([ItemChange(ITEMS + 1, ITEMS + 5, "fresh", fresh, batch.content[0, 0], "e")])
    keys, scores = of(made.retrieve(batch, requests([10])), 0)
    assert ITEMS + 5 in keys
    assert scores[keys == ITEMS + 5, CONTENT] == pytest.approx(1.0, abs=1e-5)
    made.apply([ItemChange(ITEMS + 2, ITEMS + 5, "fresh", None, None, "")])
    assert ITEMS + 5 not in of(made.retrieve(batch, requests([500])), 0)[0]


@pytest.mark.parametrize("late", [False, True])
def test_an_item_that_the_model_has_not_learned_is_scored_by_it_and_never_named(late: bool) -> None:
    rng = np.random.default_rng(12)
    given = changes(rng)
    first = given[:LEARNED] if late else given  # the others come while it serves, or were there before
    catalogue = Catalogue(WIDTH)
    catalogue.apply(first)
    vectors = rng.normal(size=(LEARNED, DIMS)).astype(np.float32)
    made = Retriever(catalogue, Popularity(), np.arange(LEARNED), vectors, heads=2)
    if late:
        made.apply(given[LEARNED:])
    batch = users(rng, [{}])
    asked = list(range(ITEMS))
    keys, scores = of(made.retrieve(batch, requests([5], given=[asked])), 0)
    new = keys >= LEARNED
    texts = np.array([change.embedding is not None and change.item is not None for change in given])[keys]
    available = np.array([item(int(key)).available for key in keys])
    assert np.isfinite(scores[new & texts & available][:, [COLLABORATIVE, SESSION, TOGETHER]]).all()
    assert np.isnan(scores[new & ~texts][:, [COLLABORATIVE, SESSION, TOGETHER]]).all()
    named = made.source_lists(batch, requests([200]))[0]
    assert max(named[source].max() for source in (COLLABORATIVE, SESSION, TOGETHER)) < LEARNED
    np.testing.assert_allclose(  # learned ones keep their own vector
        scores[~new][:, COLLABORATIVE], vectors[keys[~new]][:, : DIMS // 2] @ batch.vector[0, : DIMS // 2], rtol=1e-4
    )


def test_new_events_move_popularity() -> None:
    rng = np.random.default_rng(6)
    made = retriever(rng)
    many = 5_000
    purchases = np.full(many, EVENT_CODES[EventType.PURCHASE], np.int8)
    at = np.full(many, NOW - 60.0)
    made.apply([], EventColumns(np.arange(many), np.zeros(many, np.int64), np.full(many, 390), purchases, at, at))
    keys, scores = of(made.retrieve(users(rng, [{}], vectors=False), requests([5])), 0)
    assert keys[np.argmax(scores[:, POPULAR])] == 390
    assert np.isnan(scores[:, COLLABORATIVE]).all()


def test_a_catalogue_alone_still_serves_in_key_order() -> None:
    catalogue = Catalogue()
    made = Retriever(catalogue, Popularity(), np.zeros(0, np.int64), np.zeros((0, DIMS), np.float32))
    made.apply([ItemChange(1, key, str(key), Item(item_id=str(key), title=""), None, "") for key in (5, 2, 9)])
    batch = users(np.random.default_rng(0), [{}])
    batch = replace(batch, content=np.zeros((1, 2, 0), np.float32))
    assert of(made.retrieve(batch, requests([2])), 0)[0].tolist() == [2, 5]


def test_where_the_sources_name_too_few_the_nearest_texts_fill_up() -> None:
    rng = np.random.default_rng(8)
    made, batch = retriever(rng), users(rng, [{}])
    wanted = requests([40], expression="price < 12")  # about 95 items, most of them nobody's
    quotas = {**dict.fromkeys(SOURCES, 0), "session": 99, "content": 1}
    alone = Retriever(made._catalogue, Popularity(), np.arange(3), np.eye(3, DIMS, dtype=np.float32), quotas, heads=2)
    named = set(alone.retrieve(batch, wanted).candidate_item.tolist())
    content = alone._catalogue.view().content @ batch.content[0].T
    able = [key for key in eligible({}, False, set(), "", True) if (item(key).price or 0) < 12]
    nearest = sorted(able, key=lambda key: -content[key].max())
    assert len(named) == 40
    assert set(nearest[:37]) <= named


def test_an_empty_catalogue_and_an_empty_batch_have_empty_answers() -> None:
    made = Retriever(Catalogue(), Popularity(), np.zeros(0, np.int64), np.zeros((0, DIMS), np.float32))
    one = replace(users(np.random.default_rng(0), [{}]), content=np.zeros((1, 2, 0), np.float32))
    assert len(made.retrieve(one, requests([2])).candidate_item) == 0
    nobody = replace(users(np.random.default_rng(0), []), content=np.zeros((0, 2, 0), np.float32))
    assert made.retrieve(nobody, requests([])).candidate_offsets.tolist() == [0]


def test_language_and_filter_narrow_each_request_of_a_batch_on_its_own() -> None:
    rng = np.random.default_rng(7)
    made = retriever(rng)
    asked = requests([500, 500, 500])
    asked.language[1] = "zh"
    asked.filter[2] = 'domain == "news" and price >= 40'
    batch = made.retrieve(users(rng, [{}, {}, {}]), asked)
    assert {item(key).language for key in of(batch, 0)[0].tolist()} == {"en", "zh"}
    assert {item(key).language for key in of(batch, 1)[0].tolist()} == {"zh"}
    chosen = [item(key) for key in of(batch, 2)[0].tolist()]
    assert chosen
    assert all(one.domain == "news" and (one.price or 0) >= 40 for one in chosen)


def test_a_bad_filter_and_bad_quotas_are_refused() -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(InvalidRequest, match="unknown field 'colour'"):
        retriever(rng).retrieve(users(rng, [{}]), requests([5], expression="colour == 1"))
    empty = (Catalogue(), Popularity(), np.zeros(0, np.int64), np.zeros((0, DIMS), np.float32))
    for quotas in ({"popular": 1}, dict.fromkeys(SOURCES, 0), dict.fromkeys(SOURCES, 1) | {"popular": -1}):
        with pytest.raises(InvalidConfig, match="must give a share"):
            Retriever(*empty, quotas=quotas)


def test_a_source_without_a_share_names_nobody_and_still_scores() -> None:
    rng = np.random.default_rng(9)
    quotas = dict.fromkeys(SOURCES, 0) | {"repeat": 1}
    made = Retriever(Catalogue(WIDTH), Popularity(), np.arange(LEARNED), np.ones((LEARNED, DIMS), np.float32), quotas)
    made.apply(changes(rng))
    keys, scores = of(made.retrieve(users(rng, [{300: EventType.LIKE}]), requests([3])), 0)
    assert keys.tolist() == [0, 1, 300]
    assert not np.isnan(scores[:2, COLLABORATIVE]).any()


def test_given_candidates_are_all_the_answer_with_the_scores_that_others_get() -> None:
    rng = np.random.default_rng(10)
    made = retriever(rng)
    batch = users(rng, [{8: EventType.HIDE, 9: EventType.PURCHASE}] * 3)
    batch = alike(batch)
    own: list[list[int] | None] = [[300, 8, 9, 300, 12_345, 3], None, []]
    answer = made.retrieve(batch, requests([2, 500, 2], exclude_seen=True, domain="news", given=own))
    keys, scores = of(answer, 0)
    assert keys.tolist() == [3, 8, 9, 300]  # hidden, seen, not available, of another domain: the caller knows best
    every_key, every_score = of(made.retrieve(batch, requests([500] * 3)), 1)
    shared = np.isin(keys, every_key)
    assert shared.sum() >= 2
    np.testing.assert_array_equal(scores[shared], every_score[np.searchsorted(every_key, keys[shared])])
    assert {item(key).domain for key in of(answer, 1)[0].tolist()} == {"news"}
    assert len(of(answer, 2)[0]) == 0


def test_what_a_source_found_and_a_factor_lifts_stays_among_the_candidates() -> None:
    gained = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        made = retriever(rng)
        batch = users(rng, [dict.fromkeys(range(60, 180), EventType.PURCHASE)] * 3)
        batch = alike(batch)
        asked, dear = requests([20] * 3), "price >= 25"
        plain = [of(made.retrieve(batch, asked), user)[0].tolist() for user in range(3)]
        answer = made.retrieve(batch, asked, boosts([(dear, 2.0)], [], [(dear, 0.5)]))
        boosted = [of(answer, user)[0].tolist() for user in range(3)]
        assert (len(boosted[0]), boosted[1:]) == (20, plain[1:])
        kept = {key for key in plain[0] if (item(key).price or 0) >= 25}
        assert kept <= set(boosted[0])
        fresh = set(boosted[0]) - set(plain[0])
        assert all((item(key).price or 0) >= 25 for key in fresh)
        gained += len(fresh)
    assert gained > 0

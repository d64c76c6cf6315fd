"""Features against a slow obvious computation, and the same for a pair in every batch."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import UserBatch, ragged_offsets
from interest.catalogue import Catalogue, CatalogueView
from interest.events import EVENT_CODES, EVENT_TYPES, EventType, Facet
from interest.features import facet_hash
from interest.items import Item
from interest.model import DAY_S, TYPE_WEIGHTS
from interest.profile import HALF_LIVES_S
from interest.store.protocol import EventColumns, ItemChange
from ranking.batch import CandidateBatch
from ranking.features import FEATURES, RISING, make_features
from ranking.history import SESSION_S
from ranking.popularity import ALL_TIME, WINDOW, Popularity
from ranking.sources import SCORES

NOW = 1_700_000_000.0
TYPES = (EventType.VIEW, EventType.LIKE, EventType.DISLIKE, EventType.PURCHASE)
TAGS = ("red", "green", "blue", "gold")
Row = tuple[int, EventType, int, float, float]  # item key, type, count, first age, last age (seconds)


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue()
    rng = np.random.default_rng(1)
    for key in range(1, 21):
        item = Item(
            item_id=f"i{key}",
            title="",
            tags=tuple(tag for tag in TAGS if rng.random() < 0.4),
            price=None if key % 5 == 0 else float(rng.uniform(1, 50)),
            created_at=NOW - key * DAY_S if key % 2 else None,
        )
        catalogue.apply([ItemChange(key, key, item.item_id, item, None, "")])
    return catalogue


@pytest.fixture
def popularity() -> Popularity:
    rng = np.random.default_rng(2)
    n = 300
    popularity = Popularity()
    popularity.append(
        EventColumns(
            seq=np.arange(n),
            user_key=rng.integers(1, 9, n),
            item_key=rng.integers(1, 15, n),
            event_type=np.full(n, EVENT_CODES[EventType.PURCHASE], dtype=np.int8),
            timestamp=NOW - rng.uniform(-5 * DAY_S, 200 * DAY_S, n),
            value=np.full(n, np.nan),
        )
    )
    return popularity


def user_batch(behaviour: list[list[Row]], facets: list[dict[Facet, float]], now: list[float]) -> UserBatch:
    rows = [row for part in behaviour for row in sorted(part, key=lambda row: (row[0], EVENT_CODES[row[1]]))]
    owner_now = np.repeat(now, [len(part) for part in behaviour])
    hashed = [sorted((facet_hash(f.kind, f.name), weight) for f, weight in part.items()) for part in facets]
    flat = [pair for part in hashed for pair in part]
    return UserBatch(
        now=np.array(now, dtype=np.float64),
        vector=np.zeros((len(now), 1), dtype=np.float32),
        recent_vector=np.zeros((len(now), 1), dtype=np.float32),
        session_vector=np.zeros((len(now), 1), dtype=np.float32),
        content=np.zeros((len(now), 1, 0), dtype=np.float32),
        behaviour_offsets=ragged_offsets([len(part) for part in behaviour]),
        behaviour_item=np.array([row[0] for row in rows], dtype=np.int64),
        behaviour_type=np.array([EVENT_CODES[row[1]] for row in rows], dtype=np.int8),
        behaviour_count=np.array([row[2] for row in rows], dtype=np.int32),
        behaviour_value=np.array([2.0 * row[2] for row in rows]),
        behaviour_first_at=owner_now - np.array([row[3] for row in rows]),
        behaviour_last_at=owner_now - np.array([row[4] for row in rows]),
        behaviour_decayed=np.array([[row[2], row[2], row[2]] for row in rows], dtype=np.float64).reshape(-1, 3),
        facet_offsets=ragged_offsets([len(part) for part in facets]),
        facet_hash=np.array([pair[0] for pair in flat], dtype=np.uint64),
        facet_weight=np.array([pair[1] for pair in flat], dtype=np.float32),
    )


def random_users(rng: np.random.Generator, number: int) -> UserBatch:
    behaviour: list[list[Row]] = []
    for _ in range(number):
        pairs = {(int(rng.integers(1, 25)), TYPES[rng.integers(4)]) for _ in range(rng.integers(0, 12))}
        part = []
        for key, event_type in pairs:
            last = float(rng.uniform(-100, 90 * DAY_S))
            part.append((key, event_type, int(rng.integers(1, 4)), last + float(rng.uniform(0, 30 * DAY_S)), last))
        behaviour.append(part)
    facets = [{Facet("tag", tag): float(rng.integers(0, 3)) / 2 for tag in TAGS[:2]} for _ in range(number)]
    now = [NOW - float(rng.integers(0, 3)) * DAY_S for _ in range(number)]
    return user_batch(behaviour, facets, now)


def random_candidates(rng: np.random.Generator, users: int) -> CandidateBatch:
    parts = [np.sort(rng.permutation(22)[: rng.integers(0, 15)] + 1) for _ in range(users)]  # 21 and 22 are unknown
    offsets = ragged_offsets([len(part) for part in parts])
    scores = rng.normal(size=(offsets[-1], len(SCORES))).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = np.nan
    return CandidateBatch(offsets, np.concatenate(parts), scores)


def one_user(users: UserBatch, user: int) -> UserBatch:
    changes: dict[str, npt.NDArray[Any]] = {}
    for name in ("behaviour", "facet"):
        start, stop = getattr(users, f"{name}_offsets")[user : user + 2]
        for field in UserBatch.__dataclass_fields__:
            if field.startswith(f"{name}_"):
                changes[field] = getattr(users, field)[start:stop]
        changes[f"{name}_offsets"] = np.array([0, stop - start])
    part = slice(user, user + 1)
    return replace(
        users,
        now=users.now[part],
        vector=users.vector[part],
        recent_vector=users.recent_vector[part],
        session_vector=users.session_vector[part],
        content=users.content[part],
        **changes,
    )


def one_candidates(candidates: CandidateBatch, user: int) -> CandidateBatch:
    start, stop = candidates.candidate_offsets[user : user + 2]
    return CandidateBatch(
        np.array([0, stop - start]), candidates.candidate_item[start:stop], candidates.candidate_score[start:stop]
    )


def test_a_pairs_features_are_bit_equal_in_every_batch(catalogue: Catalogue, popularity: Popularity) -> None:
    rng = np.random.default_rng(3)
    users, candidates = random_users(rng, 37), random_candidates(rng, 37)
    together = make_features(users, candidates, catalogue.view(), popularity)
    assert together.values.shape == (len(candidates.candidate_item), len(FEATURES))
    for user in range(37):
        alone = make_features(one_user(users, user), one_candidates(candidates, user), catalogue.view(), popularity)
        part = slice(candidates.candidate_offsets[user], candidates.candidate_offsets[user + 1])
        assert_array_equal(alone.values, together.values[part])
        assert_array_equal(alone.muted, together.muted[part])


def test_features_agree_with_a_loop_over_pairs(catalogue: Catalogue, popularity: Popularity) -> None:
    rng = np.random.default_rng(8)
    users, candidates = random_users(rng, 25), random_candidates(rng, 25)
    found = make_features(users, candidates, catalogue.view(), popularity).values
    row = 0
    for user in range(25):
        start, stop = candidates.candidate_offsets[user : user + 2]
        for item in candidates.candidate_item[start:stop]:
            expected = slow_features(users, user, int(item), catalogue.view(), popularity)
            for name, value in expected.items():
                assert_allclose(found[row, FEATURES.index(name)], value, rtol=1e-4, atol=1e-6, err_msg=name)
            row += 1
    assert row == len(found)


def slow_features(
    users: UserBatch, user: int, item: int, view: CatalogueView, popularity: Popularity
) -> dict[str, float]:
    now = float(users.now[user])
    mine = slice(users.behaviour_offsets[user], users.behaviour_offsets[user + 1])
    rows = [
        (key, EVENT_TYPES[code], int(count), now - first, now - last)
        for key, code, count, first, last in zip(
            users.behaviour_item[mine],
            users.behaviour_type[mine],
            users.behaviour_count[mine],
            users.behaviour_first_at[mine],
            users.behaviour_last_at[mine],
            strict=True,
        )
    ]
    acts = [row for row in rows if row[1] in (EventType.LIKE, EventType.PURCHASE)]
    own = [row for row in acts if row[0] == item]
    every = [row for row in rows if row[0] == item]
    nan = float("nan")
    wanted = [row for row in every if TYPE_WEIGHTS[row[1]] > 0]
    purchases = [row for row in own if row[1] == EventType.PURCHASE]
    bought = [view.price[view.rows(np.array([row[0]]))[0]] for row in rows if row[0] <= 20]
    usual = [np.log(price) for price in bought if price > 0]
    place = int(view.rows(np.array([item]))[0])
    price = float(view.price[place]) if place >= 0 else nan
    counts = popularity.counts(now, view)[place] if place >= 0 else np.zeros(ALL_TIME + 1)
    visits = {int((now - age) // SESSION_S) for row in acts for age in row[3:]}
    met = [int((now - age) // SESSION_S) for row in own for age in row[3:]]
    own_count = sum(row[2] for row in own)
    months = [np.log1p(popularity.counts(now, view)[row[0] - 1, WINDOW[30]]) for row in rows if row[0] <= 20]
    return {
        "own_session_share": own_count / max(len(visits), 1),
        "own_session_share_since": own_count / max(sum(visit >= min(met, default=0) for visit in visits), 1),
        "own_sessions_after": sum(visit > max(met) for visit in visits) if own else nan,
        "user_sessions": np.log1p(len(visits)),
        "user_acts_per_session": sum(row[2] for row in acts) / max(len(visits), 1),
        "popularity_to_usual": np.log1p(counts[WINDOW[30]]) - np.mean(months) if months else nan,
        "item_users": nan,
        "own_acts": sum(row[2] for row in own),
        "own_glances": sum(row[2] for row in every if row[1] == EventType.VIEW),
        "own_negatives": sum(row[2] for row in every if row[1] == EventType.DISLIKE),
        "own_quantity": np.log1p(sum(2 * row[2] for row in own if row[1] == EventType.PURCHASE)),
        "own_last_act_days": max(min(row[4] for row in own), 0) / DAY_S if own else nan,
        "own_last_purchase_days": max(min(row[4] for row in purchases), 0) / DAY_S if purchases else nan,
        "own_first_act_days": max(max(row[3] for row in own), 0) / DAY_S if own else nan,
        "own_act_share": sum(row[2] for row in own) / max(sum(row[2] for row in acts), 1),
        "own_decayed_30d": sum(
            TYPE_WEIGHTS[row[1]] * row[2] * 2 ** (-max(row[4], 0) / HALF_LIVES_S[1]) for row in wanted
        ),
        "popularity_7d": np.log1p(counts[WINDOW[7]]),
        "popularity_all": np.log1p(counts[ALL_TIME]),
        "trend_7d_30d": np.log((counts[WINDOW[7]] / 7 + 1 / 30) / (counts[WINDOW[30]] / 30 + 1 / 30)),
        "price": np.log1p(price),
        "price_to_usual": np.log(price) - np.mean(usual) if usual else nan,
        "user_acts": np.log1p(sum(row[2] for row in acts)),
        "user_items": np.log1p(len({row[0] for row in acts})),
        "user_last_act_days": max(min(row[4] for row in acts), 0) / DAY_S if acts else nan,
    }


def test_facets_that_user_and_item_share_overlap_and_muted_ones_are_marked(popularity: Popularity) -> None:
    catalogue = Catalogue()
    for key, tags in enumerate((("red", "green"), ("blue",), ())):
        item = Item(item_id=str(key), title="", tags=tags)
        catalogue.apply([ItemChange(key + 1, key, str(key), item, None, "")])
    users = user_batch([[]], [{Facet("tag", "red"): 0.5, Facet("tag", "blue"): 0.0}], [NOW])
    candidates = CandidateBatch(np.array([0, 3]), np.arange(3), np.full((3, len(SCORES)), np.nan, dtype=np.float32))
    found = make_features(users, candidates, catalogue.view(), popularity)
    assert_allclose(found.values[:, FEATURES.index("facet_overlap")], [0.4, 0.0, 0.0])
    assert_allclose(found.values[:, FEATURES.index("facet_overlap_share")], [0.25, 0.0, np.nan])
    assert_array_equal(found.muted, [False, True, False])


def test_ranks_and_shares_follow_the_source_scores(catalogue: Catalogue, popularity: Popularity) -> None:
    scores = np.full((4, len(SCORES)), np.nan, dtype=np.float32)
    scores[:, 0] = [1.0, np.nan, 4.0, 2.0]
    users = user_batch([[]], [{}], [NOW])
    candidates = CandidateBatch(np.array([0, 4]), np.arange(1, 5), scores)
    found = make_features(users, candidates, catalogue.view(), popularity).values
    assert_array_equal(found[:, FEATURES.index("collaborative_rank")], [2, np.nan, 0, 1])
    assert_array_equal(found[:, FEATURES.index("collaborative_share")], [0.25, np.nan, 1, 0.5])
    assert np.isnan(found[:, FEATURES.index("content_rank")]).all()


def test_repeats_are_offered_when_a_candidate_was_used_before(catalogue: Catalogue, popularity: Popularity) -> None:
    rows: list[Row] = [(3, EventType.PURCHASE, 1, 9.0, 9.0)]
    users = user_batch([rows, rows], [{}, {}], [NOW, NOW])
    scores = np.zeros((4, len(SCORES)), dtype=np.float32)
    candidates = CandidateBatch(np.array([0, 2, 4]), np.array([2, 3, 4, 5]), scores)
    found = make_features(users, candidates, catalogue.view(), popularity).values
    assert_array_equal(found[:, FEATURES.index("repeats_offered")], [1, 1, 0, 0])


def test_only_a_purchase_makes_a_last_purchase(catalogue: Catalogue, popularity: Popularity) -> None:
    rows: list[Row] = [
        (3, EventType.PURCHASE, 2, 9 * DAY_S, 6 * DAY_S),
        (3, EventType.LIKE, 1, DAY_S, DAY_S),
        (4, EventType.LIKE, 1, DAY_S, DAY_S),
    ]
    users = user_batch([rows], [{}], [NOW])
    scores = np.zeros((3, len(SCORES)), dtype=np.float32)
    candidates = CandidateBatch(np.array([0, 3]), np.array([3, 4, 5]), scores)
    found = make_features(users, candidates, catalogue.view(), popularity).values
    assert_array_equal(found[:, FEATURES.index("own_last_purchase_days")], [6, np.nan, np.nan])
    assert_array_equal(found[:, FEATURES.index("own_last_act_days")], [1, 1, np.nan])


def test_an_item_that_is_not_there_yet_has_no_age(catalogue: Catalogue, popularity: Popularity) -> None:
    users = user_batch([[]], [{}], [NOW - 1_000 * DAY_S])
    candidates = CandidateBatch(np.array([0, 1]), np.array([3]), np.zeros((1, len(SCORES)), dtype=np.float32))
    found = make_features(users, candidates, catalogue.view(), popularity).values
    assert np.isnan(found[0, FEATURES.index("item_age_days")])
    assert found[0, FEATURES.index("popularity_all")] == 0


def test_no_users_and_no_candidates_make_no_rows(popularity: Popularity) -> None:
    empty = CandidateBatch(np.array([0]), np.zeros(0, dtype=np.int64), np.zeros((0, len(SCORES)), dtype=np.float32))
    found = make_features(user_batch([], [], []), empty, Catalogue().view(), popularity)
    assert found.values.shape == (0, len(FEATURES))


def test_names_are_distinct_and_rising_ones_exist() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
    assert set(RISING) <= set(FEATURES)

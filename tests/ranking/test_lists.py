"""Lists: without wishes exactly the order of the scores, with exploration after diversity the exact propensity."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from interest.batch import UserBatch
from interest.catalogue import Catalogue
from interest.items import Item
from interest.store.protocol import ItemChange
from ranking.batch import CandidateBatch, ListWishes, plain_wishes
from ranking.calibration import CategoryTable
from ranking.lists import Arranged, arrange, score_order
from ranking.sources import SCORES

pytestmark = pytest.mark.thorough

USERS, EACH = 6, 40
DRAWS = 4_000


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    rng = np.random.default_rng(2)
    catalogue = Catalogue(8, "e")
    changes = []
    for key in range(EACH):
        vector = rng.normal(size=8)
        item = Item(item_id=str(key), title="", categories=(f"c{key % 4}",))
        changes.append(ItemChange(key + 1, key, str(key), item, (vector / np.linalg.norm(vector)).astype("f4"), "e"))
    catalogue.apply(changes)
    return catalogue


def users_of(number: int) -> UserBatch:
    """Each did something with item 1."""
    return UserBatch(
        now=np.full(number, 1e9),
        vector=np.zeros((number, 1), dtype=np.float32),
        recent_vector=np.zeros((number, 1), dtype=np.float32),
        session_vector=np.zeros((number, 1), dtype=np.float32),
        content=np.zeros((number, 1, 8), dtype=np.float32),
        behaviour_offsets=np.arange(number + 1),
        behaviour_item=np.ones(number, dtype=np.int64),
        behaviour_type=np.full(number, 3, dtype=np.int8),
        behaviour_count=np.ones(number, dtype=np.int32),
        behaviour_value=np.zeros(number),
        behaviour_first_at=np.full(number, 1e9),
        behaviour_last_at=np.full(number, 1e9),
        behaviour_decayed=np.ones((number, 3)),
        facet_offsets=np.zeros(number + 1, dtype=np.int64),
        facet_hash=np.zeros(0, dtype=np.uint64),
        facet_weight=np.zeros(0, dtype=np.float32),
    )


def listed(catalogue: Catalogue, wishes: ListWishes, count: int = 10, muted: int = 0) -> Arranged:
    """All users have all items as candidates with the same scores, some equal; the best `muted` are muted."""
    users = len(wishes.diversity)
    scores = np.tile(np.round(np.random.default_rng(3).normal(size=EACH), 1), users).astype(np.float32)
    held = np.tile(np.argsort(np.argsort(-scores[:EACH])) < muted, users)
    candidates = CandidateBatch(
        np.arange(users + 1) * EACH,
        np.tile(np.arange(EACH), users),
        np.zeros((users * EACH, len(SCORES)), dtype=np.float32),
    )
    ranked = score_order(scores - 1000 * held.astype(np.float32), held, candidates)
    counts = np.full(users, count)
    return arrange(ranked, users_of(users), candidates, counts, catalogue.view(), wishes, CategoryTable())


def exploring(users: int, epsilon: float, diversity: float, depth: int = 12) -> ListWishes:
    return replace(
        plain_wishes(users),
        diversity=np.full(users, diversity),
        explore_epsilon=np.full(users, epsilon),
        explore_from=np.full(users, 2),
        explore_depth=np.full(users, depth),
        explore_seed=np.arange(users, dtype=np.uint64),
    )


def test_without_wishes_the_order_is_by_score_then_lower_item(catalogue: Catalogue) -> None:
    found = listed(catalogue, plain_wishes(USERS), count=EACH)
    scores = np.round(np.random.default_rng(3).normal(size=EACH), 1).astype(np.float32)
    slow = sorted(range(EACH), key=lambda item: (-scores[item], item))
    assert_array_equal(found.rows % EACH, np.tile(slow, USERS))
    assert_array_equal(found.propensity, 1.0)
    assert_array_equal(found.offsets, np.arange(USERS + 1) * EACH)


def test_each_user_has_their_own_wish(catalogue: Catalogue) -> None:
    wishes = replace(
        plain_wishes(4), diversity=np.array([0.0, 0.8, 0.0, 0.0]), calibration=np.array([0.0, 0.0, 0.9, 0.0])
    )
    lists = (listed(catalogue, wishes).rows % EACH).reshape(4, 10)
    assert_array_equal(lists[0], lists[3])
    assert_array_equal(lists[0], (listed(catalogue, plain_wishes(1)).rows % EACH))
    assert (lists[1] != lists[0]).any()
    assert (lists[2] % 4 == 1).sum() > (lists[0] % 4 == 1).sum()  # the category of what they did


@pytest.mark.parametrize("diversity", [0.0, 0.6])
def test_with_and_without_diversity_items_come_as_often_as_their_propensity_says(
    catalogue: Catalogue, diversity: float
) -> None:
    found = listed(catalogue, exploring(DRAWS, 0.5, diversity), count=3)
    lists, propensity = (found.rows % EACH).reshape(DRAWS, 3), found.propensity.reshape(DRAWS, 3)
    head = listed(catalogue, replace(plain_wishes(1), diversity=np.array([diversity])), count=3).rows
    assert_array_equal(lists[:, :2], np.tile(head[:2], (DRAWS, 1)))
    assert_array_equal(propensity[:, :2], 1.0)
    total = 0.0
    for item in np.unique(lists[:, 2]):
        chances = np.unique(propensity[lists[:, 2] == item, 2])
        assert len(chances) == 1
        total += chances[0]
        deviation = np.sqrt(DRAWS * chances[0] * (1 - chances[0]))
        assert abs((lists[:, 2] == item).sum() - DRAWS * chances[0]) < 4 * deviation
    assert total == pytest.approx(1.0)


def test_muted_items_are_never_drawn(catalogue: Catalogue) -> None:
    found = listed(catalogue, exploring(200, 1.0, 0.0, depth=EACH), count=10, muted=25)
    plain = listed(catalogue, plain_wishes(1), count=EACH, muted=25).rows
    assert set((found.rows % EACH).tolist()) <= set(plain[:15].tolist())


@pytest.mark.parametrize("depth", [12, EACH])
def test_a_longer_list_begins_like_a_shorter_one_whatever_is_wished(catalogue: Catalogue, depth: int) -> None:
    wishes = replace(exploring(USERS, 0.5, 0.6, depth), calibration=np.full(USERS, 0.3))
    longest = listed(catalogue, wishes, count=EACH)
    for count in (1, 3, 10, 25):
        shorter = listed(catalogue, wishes, count=count)
        for name in ("rows", "propensity"):
            whole, part = getattr(longest, name), getattr(shorter, name)
            assert_array_equal(whole.reshape(USERS, EACH)[:, :count].ravel(), part)


def test_a_whole_list_holds_every_item_once_and_no_chance_behind_the_last_that_can_be_drawn(
    catalogue: Catalogue,
) -> None:
    found = listed(catalogue, exploring(200, 0.5, 0.0, depth=12), count=EACH)
    plain = listed(catalogue, plain_wishes(1), count=EACH).rows
    lists, propensity = (found.rows % EACH).reshape(200, EACH), found.propensity.reshape(200, EACH)
    assert_array_equal(np.sort(lists, axis=1), np.tile(np.arange(EACH), (200, 1)))
    assert_array_equal(np.sort(lists[:, :12], axis=1), np.tile(np.sort(plain[:12]), (200, 1)))
    assert_array_equal(lists[:, 12:], np.tile(plain[12:], (200, 1)))
    assert_array_equal(propensity[:, 12:], 1.0)
    assert (propensity[:, 2:11] < 1.0).all()


def test_a_list_does_not_depend_on_its_batch(catalogue: Catalogue) -> None:
    wishes = exploring(5, 0.6, 0.4)
    together = listed(catalogue, wishes)
    for user in range(5):
        own = ListWishes(**{name: array[user : user + 1] for name, array in wishes.to_tensors().items()})
        alone = listed(catalogue, own)
        assert_array_equal(alone.rows, together.rows[user * 10 : user * 10 + 10] % EACH)
        assert_array_equal(alone.propensity, together.propensity[user * 10 : user * 10 + 10])

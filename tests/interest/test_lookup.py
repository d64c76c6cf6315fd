"""InterestLookup: vectors, facets and declared interests, the same for a user in every batch."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from interest.batch import Floats, UserBatch
from interest.catalogue import Catalogue
from interest.events import EVENT_CODES, EventType, Facet
from interest.features import facet_hash
from interest.items import Item
from interest.lookup import MAX_FACETS, InterestLookup
from interest.model import DAY_S, BehaviourWeights, InterestModel
from interest.profile import Behaviour, Declaration, InterestProfile, empty_profile
from interest.store.protocol import ItemChange

NOW = 1_700_000_000.0
ITEMS = [
    Item(item_id="jazz", title="", categories=("music",), tags=("jazz",)),
    Item(item_id="rock", title="", categories=("music",), tags=("rock",)),
    Item(item_id="tea", title="", categories=("drinks",), tags=("tea",)),
    Item(item_id="new", title="", categories=("music",), tags=("jazz",)),
]
CONTENT = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0, 1], [0, 1, 0]], dtype=np.float32)
Rows = Sequence[tuple[int, EventType, float]]  # item key, type, age in seconds


def profile_of(rows: Rows, declared: dict[Facet, float] | None = None, user_id: str = "u") -> InterestProfile:
    rows = sorted(rows, key=lambda row: (row[0], EVENT_CODES[row[1]]))
    at = np.array([NOW - age for _, _, age in rows], dtype=np.float64)
    behaviour = Behaviour(
        item_key=np.array([key for key, _, _ in rows], dtype=np.int64),
        event_type=np.array([EVENT_CODES[event_type] for _, event_type, _ in rows], dtype=np.int8),
        count=np.ones(len(rows), dtype=np.int32),
        value=np.zeros(len(rows)),
        first_at=at,
        last_at=at,
        decayed=np.ones((len(rows), 3)),
    )
    made = {facet: Declaration(weight, NOW, "r") for facet, weight in (declared or {}).items()}
    return replace(empty_profile(user_id), behaviour=behaviour, declared=made, events=len(rows))


def change(key: int, item: Item, vector: Floats) -> ItemChange:
    return ItemChange(key, key, item.item_id, item, vector, "test")


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue(3)
    catalogue.apply([change(key, item, CONTENT[key]) for key, item in enumerate(ITEMS)])
    return catalogue


@pytest.fixture
def lookup(catalogue: Catalogue) -> InterestLookup:
    vectors = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)  # "new" is not in the model
    return InterestLookup(InterestModel(["tea", "jazz", "rock"], vectors, vectors, BehaviourWeights(DAY_S)), catalogue)


def facets(users: UserBatch, user: int = 0) -> dict[int, float]:
    part = slice(users.facet_offsets[user], users.facet_offsets[user + 1])
    return dict(zip(users.facet_hash[part].tolist(), users.facet_weight[part].tolist(), strict=True))


def test_the_vector_follows_the_model_by_item_id_and_ignores_items_without_one(lookup: InterestLookup) -> None:
    bought = [(0, EventType.PURCHASE, 0.0), (3, EventType.PURCHASE, 0.0), (77, EventType.PURCHASE, 0.0)]
    users = lookup.lookup([profile_of(bought)], np.array([NOW]))
    assert_allclose(users.vector[0], lookup.model.input_vectors[1], rtol=1e-6)
    assert_array_equal(users.behaviour_item, [0, 3, 77])


def test_an_item_that_joins_the_catalogue_counts_once_followed_and_no_lookup_works_for_it(catalogue: Catalogue) -> None:
    vectors = np.eye(2, dtype=np.float32)
    lookup = InterestLookup(InterestModel(["jazz", "late"], vectors, vectors, BehaviourWeights(DAY_S)), catalogue)
    profile = profile_of([(9, EventType.LIKE, 0.0)])
    assert not lookup.lookup([profile], np.array([NOW])).vector.any()
    catalogue.apply([change(9, Item(item_id="late", title=""), CONTENT[0])])
    assert not lookup.lookup([profile], np.array([NOW])).vector.any()
    lookup.follow()
    assert_array_equal(lookup.lookup([profile], np.array([NOW])).vector, [[0.0, 1.0]])


def test_following_step_by_step_equals_joining_at_once(catalogue: Catalogue) -> None:
    vectors = np.random.default_rng(2).normal(size=(4, 4)).astype(np.float32)
    model = InterestModel(["late", "tea", "jazz", "later"], vectors, vectors, BehaviourWeights(DAY_S))
    followed = InterestLookup(model, catalogue)
    fresh = [Item(item_id=name, title="", tags=(name, "jazz")) for name in ("late", "later")]
    for key, item in enumerate([*fresh, replace(ITEMS[0], tags=("sax",))]):
        catalogue.apply([change((8, 9, 0)[key], item, CONTENT[key])])
        followed.follow()
    profiles = [profile_of([(key, EventType.LIKE, 0.0) for key in (0, 2, 8, 9)], {Facet("keyword", "sax"): 0.5})]
    found, expected = (one.lookup(profiles, np.array([NOW])) for one in (followed, InterestLookup(model, catalogue)))
    for name in UserBatch.__dataclass_fields__:
        assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_an_event_newer_than_the_rounded_clock_counts_as_of_now(lookup: InterestLookup) -> None:
    fresh = lookup.lookup([profile_of([(0, EventType.PURCHASE, -200.0)])], np.array([NOW]))
    present = lookup.lookup([profile_of([(0, EventType.PURCHASE, 0.0)])], np.array([NOW]))
    assert_array_equal(fresh.vector, present.vector)
    assert_array_equal(fresh.facet_weight, present.facet_weight)


def test_facets_are_weighted_sums_over_the_greatest(lookup: InterestLookup) -> None:
    users = lookup.lookup([profile_of([(0, EventType.LIKE, 0.0), (1, EventType.LIKE, DAY_S)])], np.array([NOW]))
    found = facets(users)
    assert found[facet_hash("category", "music")] == 1.0
    assert found[facet_hash("tag", "jazz")] == pytest.approx(0.8 / 1.5)
    assert found[facet_hash("tag", "rock")] == pytest.approx(0.4 / 1.5)
    assert_array_equal(users.facet_hash, np.sort(users.facet_hash))


def test_disliking_takes_interest_away_and_never_below_nothing(lookup: InterestLookup) -> None:
    rows = [(0, EventType.LIKE, 0.0), (1, EventType.DISLIKE, 0.0), (2, EventType.LIKE, 0.0)]
    users = lookup.lookup([profile_of(rows)], np.array([NOW]))
    assert set(facets(users)) == {
        facet_hash(*pair) for pair in (("tag", "jazz"), ("category", "drinks"), ("tag", "tea"))
    }
    liked = lookup.lookup([profile_of(rows[:1] + rows[2:])], np.array([NOW]))
    assert users.vector[0] @ lookup.model.input_vectors[2] < liked.vector[0] @ lookup.model.input_vectors[2]


@pytest.mark.parametrize("event_type", [EventType.DISLIKE, EventType.HIDE, EventType.SKIP, EventType.IMPRESSION])
def test_a_user_who_wanted_nothing_has_no_vectors(lookup: InterestLookup, event_type: EventType) -> None:
    users = lookup.lookup([profile_of([(0, event_type, 0.0)])], np.array([NOW]))
    assert not users.vector.any()
    assert not users.content.any()
    assert facets(users) == {}


def test_content_vectors_are_of_unit_length_all_time_and_recent(lookup: InterestLookup) -> None:
    rows = [(0, EventType.LIKE, 0.0), (2, EventType.LIKE, DAY_S)]
    content = lookup.lookup([profile_of(rows)], np.array([NOW])).content[0]
    assert_allclose(content[0], np.array([1, 0, 0.5]) / np.sqrt(1.25), rtol=1e-6)
    assert_allclose(content[1], np.array([1, 0, 0.25]) / np.sqrt(1.0625), rtol=1e-6)
    assert_array_equal(content[2], [0, 0, 0])


def test_declared_interests_alone_point_into_the_content_space(lookup: InterestLookup) -> None:
    users = lookup.lookup([profile_of([], {Facet("tag", "Jazz"): 0.5})], np.array([NOW]))
    assert_allclose(users.content[0], [[0, 0, 0], [0, 0, 0], np.array([1, 1, 0]) / np.sqrt(2)], rtol=1e-6)
    assert facets(users) == {facet_hash("tag", "jazz"): 0.5}


def test_a_declared_name_finds_items_that_carry_it_under_another_kind(lookup: InterestLookup) -> None:
    users = lookup.lookup([profile_of([], {Facet("keyword", "tea"): 0.7})], np.array([NOW]))
    assert_array_equal(users.content[0, 2], [0, 0, 1])
    assert facets(users) == {facet_hash("tag", "tea"): pytest.approx(0.7)}


def test_a_declared_name_that_nothing_carries_is_kept_and_points_nowhere(lookup: InterestLookup) -> None:
    users = lookup.lookup([profile_of([], {Facet("tag", "opera"): 0.7})], np.array([NOW]))
    assert not users.content.any()
    assert facets(users) == {facet_hash("tag", "opera"): pytest.approx(0.7)}


def test_what_the_user_says_beats_what_the_user_did(lookup: InterestLookup) -> None:
    declared = {Facet("category", "music"): 0.0, Facet("tag", "jazz"): 0.9}
    found = facets(lookup.lookup([profile_of([(0, EventType.LIKE, 0.0)], declared)], np.array([NOW])))
    assert found == {facet_hash("category", "music"): 0.0, facet_hash("tag", "jazz"): pytest.approx(0.9)}


def test_readable_interests_name_every_declaration_and_fill_up_with_learned_ones(lookup: InterestLookup) -> None:
    declared = {Facet("category", "music"): 0.0, Facet("tag", "opera"): 0.6}
    profile = profile_of([(0, EventType.LIKE, 0.0), (2, EventType.LIKE, DAY_S)], declared)
    assert lookup.interests(profile, NOW, 3) == [
        (Facet("tag", "jazz"), pytest.approx(0.8), False),
        (Facet("tag", "opera"), 0.6, True),
        (Facet("category", "music"), 0.0, True),
    ]
    assert [declared for _, _, declared in lookup.interests(profile, NOW, 0)] == [True, True]


def test_words_of_comments_are_interests_that_fade(lookup: InterestLookup) -> None:
    profile = replace(profile_of([(0, EventType.LIKE, 0.0)]), keywords={"saxophone": (2.0, NOW - 30 * DAY_S)})
    weights = {facet: weight for facet, weight, _ in lookup.interests(profile, NOW, 9)}
    assert weights[Facet("keyword", "saxophone")] == pytest.approx(0.6)


def test_only_the_strongest_facets_are_kept() -> None:
    catalogue = Catalogue(3)
    many = Item(item_id="many", title="", categories=("main",), tags=tuple(f"t{i}" for i in range(100)))
    catalogue.apply([change(0, many, CONTENT[0])])
    vectors = np.zeros((1, 2), dtype=np.float32)
    lookup = InterestLookup(InterestModel(["many"], vectors, vectors, BehaviourWeights(DAY_S)), catalogue)
    found = facets(lookup.lookup([profile_of([(0, EventType.LIKE, 0.0)])], np.array([NOW])))
    assert len(found) == MAX_FACETS
    assert found[facet_hash("category", "main")] == 1.0


def test_a_users_part_is_bit_equal_in_every_batch(lookup: InterestLookup) -> None:
    rng = np.random.default_rng(4)
    types = [EventType.VIEW, EventType.PURCHASE, EventType.DISLIKE, EventType.SHARE]
    profiles = []
    for user in range(29):
        pairs = {(int(rng.integers(0, 5)), types[rng.integers(4)]) for _ in range(rng.integers(0, 9))}
        rows = [(key, event_type, float(rng.uniform(0, 9e6))) for key, event_type in sorted(pairs)]
        profiles.append(profile_of(rows, {Facet("tag", "rock"): 0.3} if user % 3 == 0 else None))
    together = lookup.lookup(profiles, np.full(29, NOW))
    for user, profile in enumerate(profiles):
        alone = lookup.lookup([profile], np.array([NOW]))
        assert_array_equal(alone.vector[0], together.vector[user])
        assert_array_equal(alone.content[0], together.content[user])
        part = slice(together.facet_offsets[user], together.facet_offsets[user + 1])
        assert_array_equal(alone.facet_hash, together.facet_hash[part])
        assert_array_equal(alone.facet_weight, together.facet_weight[part])


def test_no_users_make_an_empty_batch(lookup: InterestLookup) -> None:
    users = lookup.lookup([], np.zeros(0))
    assert users.vector.shape == (0, 4)
    assert all(len(getattr(users, item.name)) in (0, 1) for item in fields(users))


def test_a_catalogue_without_encoder_and_a_model_without_items_still_give_facets() -> None:
    catalogue = Catalogue()
    catalogue.apply([replace(change(0, ITEMS[0], CONTENT[0]), embedding=None)])
    nothing = np.zeros((0, 1), dtype=np.float32)
    lookup = InterestLookup(InterestModel([], nothing, nothing, BehaviourWeights(DAY_S)), catalogue)
    users = lookup.lookup([profile_of([(0, EventType.LIKE, 0.0)])], np.array([NOW]))
    assert_array_equal(users.vector, [[0.0]])
    assert users.content.shape == (1, 3, 0)
    assert len(facets(users)) == 2

"""Diversity: the compiled greedy order is that of a slow obvious one, whatever the batch; 0 changes nothing."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from interest.batch import Doubles, Floats, Longs, ragged_offsets
from ranking.calibration import SMOOTHING, ItemCategories, Mixes
from ranking.diversity import POOL, ScoreOrder, compile_ahead, diversify
from ranking.diversity_kernel import greedy_batch
from ranking.list_metrics import intra_list_diversity

pytestmark = pytest.mark.thorough

ITEMS, CATEGORIES = 300, 6


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def content() -> Floats:
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 16)) + 0.4
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def ranked_of(rng: np.random.Generator, lengths: list[int], held_back: int = 0) -> tuple[ScoreOrder, Longs]:
    """Random scores, falling within each user, the last `held_back` of each held back; and the rows of the items."""
    scores = [np.sort(rng.normal(size=length).astype(np.float32))[::-1] for length in lengths]
    rows = [rng.permutation(ITEMS)[:length] for length in lengths]
    held = [np.arange(length) >= length - held_back for length in lengths]
    order = rng.permutation(sum(lengths))
    return (
        ScoreOrder(ragged_offsets(lengths), order, np.concatenate(scores), np.concatenate(held)),
        np.concatenate(rows).astype(np.int64),
    )


def categories_of(rng: np.random.Generator, users: int) -> Mixes:
    """Up to three categories an item, some have none; each user a random mix of three."""
    own = [np.sort(rng.permutation(CATEGORIES)[: rng.integers(0, 4)]) for _ in range(ITEMS)]
    items = ItemCategories(1, [], ragged_offsets([len(c) for c in own]), np.concatenate(own).astype(np.int64))
    items = ItemCategories(1, [None] * CATEGORIES, items.offsets, items.category)  # type: ignore[list-item]
    mix = np.concatenate([np.sort(rng.permutation(CATEGORIES)[:3]) for _ in range(users)])
    share = rng.dirichlet(np.ones(3), size=users).ravel()
    return Mixes(items, np.arange(users + 1) * 3, mix, share)


def slow_divergence(rows: list[int], mixes: Mixes, user: int) -> float:
    items = mixes.items
    shown = np.zeros(CATEGORIES)
    for row in rows:
        own = items.category[items.offsets[row] : items.offsets[row + 1]]
        shown[own] += 1 / max(len(own), 1)
    shown = shown / (shown.sum() or 1.0)
    part = slice(mixes.offsets[user], mixes.offsets[user + 1])
    p, q = mixes.share[part], shown[mixes.category[part]]
    return float((p * np.log(p / ((1 - SMOOTHING) * q + SMOOTHING * p))).sum())


def slow_list(
    scores: Floats, rows: Longs, content: Floats, count: int, d: float, c: float, mixes: Mixes | None, user: int
) -> list[int]:
    """Places chosen, straight from the formula in the module's docstring."""
    relevance = (scores.astype(float) - scores[-1]) / (scores[0] - scores[-1])
    chosen: list[int] = []
    while len(chosen) < min(count, len(scores)):
        gains = {}
        for place in range(len(scores)):
            if place in chosen:
                continue
            cosines = [content[rows[place]].astype(float) @ content[rows[other]].astype(float) for other in chosen]
            gain = (1 - d) * relevance[place] - d * (np.mean(cosines) if cosines else 0.0)
            if mixes is not None:
                listed = [int(rows[other]) for other in [*chosen, place]]
                gain = (1 - c) * gain - c * slow_divergence(listed, mixes, user) / np.log(1 / SMOOTHING)
            gains[place] = gain
        chosen.append(max(gains, key=lambda place: (round(gains[place], 9), -place)))
    return chosen


@pytest.mark.parametrize(("d", "c"), [(0.3, 0.0), (1.0, 0.0), (0.0, 0.4), (0.5, 0.5)])
def test_the_list_is_that_of_the_slow_formula(rng: np.random.Generator, content: Floats, d: float, c: float) -> None:
    lengths = [40, 1, 0, 12, 40]
    ranked, rows = ranked_of(rng, lengths)
    mixes = categories_of(rng, 5) if c else None
    found = diversify(ranked, rows, content, np.full(5, 8), np.full(5, d), np.full(5, c), mixes)
    for user, length in enumerate(lengths):
        part = slice(ranked.offsets[user], ranked.offsets[user + 1])
        assert_array_equal(np.sort(found[part]), np.sort(ranked.order[part]))
        if length > 1:
            wanted = slow_list(ranked.score[part], rows[part], content, 8, d, c, mixes, user)
            assert_array_equal(found[part][:8], ranked.order[part][wanted])


def test_without_a_wish_the_order_is_the_same_array_value_for_value(rng: np.random.Generator, content: Floats) -> None:
    ranked, rows = ranked_of(rng, [30, 50])
    found = diversify(ranked, rows, content, np.full(2, 10), np.array([0.0, 0.7]), np.zeros(2))
    assert_array_equal(found[:30], ranked.order[:30])
    assert (found[30:] != ranked.order[30:]).any()


def test_a_user_gets_the_same_list_alone_and_among_others(rng: np.random.Generator, content: Floats) -> None:
    ranked, rows = ranked_of(rng, [120] * 9)
    wishes = rng.random(9)
    together = diversify(ranked, rows, content, np.full(9, 10), wishes)
    for user in range(9):
        part = slice(user * 120, user * 120 + 120)
        own = ScoreOrder(np.array([0, 120]), ranked.order[part], ranked.score[part], ranked.held_back[part])
        alone = diversify(own, rows[part], content, np.array([10]), wishes[user : user + 1])
        assert_array_equal(alone, together[part])


def test_a_longer_list_begins_like_a_shorter_one(rng: np.random.Generator, content: Floats) -> None:
    ranked, rows = ranked_of(rng, [200])
    lists = [diversify(ranked, rows, content, np.array([k]), np.array([0.6]))[:k] for k in (5, 20, 150)]
    assert_array_equal(lists[0], lists[1][:5])
    assert_array_equal(lists[1], lists[2][:20])
    assert_array_equal(lists[2][POOL:], ranked.order[POOL:150])  # beyond the pool the scores decide again


def test_neither_scale_nor_shift_of_the_scores_matters(rng: np.random.Generator, content: Floats) -> None:
    ranked, rows = ranked_of(rng, [60])
    moved = ScoreOrder(ranked.offsets, ranked.order, ranked.score * 64 + 1, ranked.held_back)
    wishes = (np.array([10]), np.array([0.5]))
    assert_array_equal(diversify(ranked, rows, content, *wishes), diversify(moved, rows, content, *wishes))


def test_what_is_held_back_stays_behind_everything_else(rng: np.random.Generator, content: Floats) -> None:
    ranked, rows = ranked_of(rng, [20, 20], held_back=15)
    found = diversify(ranked, rows, content, np.full(2, 10), np.ones(2))
    assert_array_equal(found[5:20], ranked.order[5:20])
    assert_array_equal(np.sort(found[20:25]), np.sort(ranked.order[20:25]))


def test_more_diversity_asked_is_more_diversity_given(rng: np.random.Generator, content: Floats) -> None:
    ranked, rows = ranked_of(rng, [100] * 50)
    row_of = np.empty(len(rows), dtype=np.int64)
    row_of[ranked.order] = rows
    found: list[Doubles] = []
    for wish in (0.0, 0.3, 0.6, 1.0):
        order = diversify(ranked, rows, content, np.full(50, 10), np.full(50, wish))
        found.append(intra_list_diversity(row_of[order.reshape(50, 100)[:, :10]], content))
    means = [values.mean() for values in found]
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.2


def test_items_without_a_row_are_ranked_too(rng: np.random.Generator, content: Floats) -> None:
    ranked, rows = ranked_of(rng, [10])
    found = diversify(ranked, np.full_like(rows, -1), content, np.array([10]), np.array([0.5]))
    assert_array_equal(found, ranked.order)  # all orthogonal: only the scores tell them apart


def test_arrays_off_the_wire_need_no_second_compilation(rng: np.random.Generator, content: Floats) -> None:
    compile_ahead()
    ranked, rows = ranked_of(rng, [10])
    wishes = (np.array([5]), np.array([0.5]), np.array([0.0]))
    for array in (ranked.offsets, ranked.order, ranked.score, ranked.held_back, rows, *wishes):
        array.flags.writeable = False
    diversify(ranked, rows, content, *wishes, categories_of(rng, 1))
    assert len(greedy_batch.signatures) == 1

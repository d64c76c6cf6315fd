"""Snapshots: what goes in comes out, small, and nothing personal that no page needs."""

from typing import Any

import numpy as np
import pytest

from ranking.sources import SCORES
from serve.ranker import Ranking
from serve.schema import Generate, RecommendationRequest
from serve.snapshots import packed, unpacked

INTERESTS = (("tag", "tea", 0.5, True),)


def ranking(keys: list[int], drawn: int = 0) -> Ranking:
    """The first `drawn` places were open to chance."""
    rng = np.random.default_rng(len(keys))
    scores = np.sort(rng.normal(size=len(keys)).astype(np.float32))[::-1]
    parts = rng.normal(size=(len(keys), len(SCORES))).astype(np.float32)
    propensity = np.where(np.arange(len(keys)) < drawn, rng.random(len(keys)), 1.0)
    return Ranking(np.array(keys, dtype=np.int64), scores, parts, propensity, INTERESTS, True, {})


def body_of(made: Ranking, **asked: Any) -> bytes:
    return packed(RecommendationRequest(user_id="u", **asked), 1, "full", ["generation"], {"release": "1"}, made)


@pytest.mark.parametrize("largest", [7, 2**32 - 1, 2**32, 2**53])
def test_keys_scores_and_parts_come_back_bit_by_bit(largest: int) -> None:
    made = ranking([3, largest, 0])
    found = unpacked(body_of(made, include=["scores"])).ranking()
    np.testing.assert_array_equal(found.item_keys, made.item_keys)
    np.testing.assert_array_equal(found.scores, made.scores)
    np.testing.assert_array_equal(found.parts, made.parts)


@pytest.mark.parametrize("drawn", [0, 1, 3, 5])
def test_propensities_come_back_bit_by_bit_and_cost_nothing_where_there_was_no_chance(drawn: int) -> None:
    made = ranking(list(range(5)), drawn)
    if drawn:
        made.propensity[0] = 1.0  # the head of a list is never drawn
    kept = unpacked(body_of(made))
    np.testing.assert_array_equal(kept.ranking().propensity, made.propensity)
    assert len(kept.propensity) == (8 * drawn if drawn != 1 else 0)


def test_what_no_page_needs_is_not_kept() -> None:
    plain, personal = unpacked(body_of(ranking([1]))), unpacked(body_of(ranking([1]), generate=Generate()))
    assert (plain.interests, plain.asked_text(), plain.shown) == ([], None, 1)
    assert np.isnan(plain.ranking().parts).all()
    assert (personal.ranking().interests, personal.asked_text()) == (INTERESTS, Generate())
    assert unpacked(body_of(ranking([1]), include=["explanation"])).interests == list(INTERESTS)
    assert plain.degraded == []  # the text of the next page may well be there


def test_200_items_take_less_than_two_kilobytes() -> None:
    assert len(body_of(ranking(list(range(200))))) < 2_000


def test_parts_of_a_program_with_other_sources_are_left_out() -> None:
    kept = unpacked(body_of(ranking([1, 2]), include=["scores"]))
    assert np.isnan(type(kept)(**{**_fields(kept), "parts": kept.parts[:-8]}).ranking().parts).all()


def _fields(kept: Any) -> dict[str, Any]:
    return {name: getattr(kept, name) for name in kept.__struct_fields__}

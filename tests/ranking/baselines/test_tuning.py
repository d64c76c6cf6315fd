"""Tuning keeps the setting that is best on the very users asked; a blend is never worse than its first part."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from interest.batch import Floats, Longs
from ranking.baselines.base import Settings, grid, rank
from ranking.baselines.blend import Chosen, Part, blended, fit_blend, scaled
from ranking.baselines.counting import Popularity
from ranking.baselines.data import Requests, World, requests_of
from ranking.baselines.suite import tune_all
from ranking.baselines.tuning import Questions, tune, tune_blend


class OneItem:
    """Puts the item that its setting names first; item 3 second."""

    name = "one item"
    grid = grid(item=(0.0, 1.0, 2.0))

    def fit(self, world: World, settings: Settings) -> "OneItemScorer":
        return OneItemScorer(int(str(settings["item"])[0]), world.items)


class OneItemScorer:
    def __init__(self, item: int, items: int) -> None:
        self.item, self.items = item, items

    def scores(self, requests: Requests) -> Floats:
        found = np.zeros((len(requests), self.items), dtype=np.float32)
        found[:, 3], found[:, self.item] = 1.0, 2.0
        return found


def questions(world: World, relevant: list[int]) -> Questions:
    count = len(relevant)
    requests = requests_of(np.arange(count), np.full(count, 50.0 * 86_400), world.live, exclude_seen=False)
    return Questions(requests, np.arange(count + 1), np.array(relevant))


def test_each_of_several_questions_gets_its_own_best_setting(world: World) -> None:
    first, second = tune(OneItem(), world, [questions(world, [1, 1, 0]), questions(world, [2])], lambda: None)
    assert (first.settings, second.settings) == ({"item": 1.0}, {"item": 2.0})
    assert [settings["item"] for settings in first.best] == [1.0, 0.0, 2.0]
    assert (first.tried, first.ranked[0, :2].tolist()) == (3, [1, 3])


def test_scaling_takes_each_request_to_a_highest_score_of_one() -> None:
    scores = np.array([[0, 3, -1], [0, 0, 0]], dtype=np.float32)
    assert_allclose(scaled(scores, logarithm=False), [[0, 1, 0], [0, 0, 0]])
    assert_allclose(scaled(np.array([[1, 3]], dtype=np.float32), logarithm=True), [[0.5, 1.0]])
    assert_allclose(blended([(scores, 2.0), (scores, 0.0)]), 2 * scores)


def test_a_blend_is_at_least_as_good_as_its_first_part_and_says_how_it_is_made(world: World) -> None:
    asked = questions(world, [1, 3, 3, 5, 2])
    recent = Popularity("popular", (None, 7.0, 30.0))
    parts = [Part(OneItem(), OneItem().grid), Part(recent, recent.grid, logarithm=True)]
    alone = max(asked.ndcg(OneItem().fit(world, settings).scores(asked.requests)) for settings in OneItem().grid)
    tuned = tune_blend("both", parts, world, asked)
    assert asked.ndcg_of(tuned.ranked) >= alone
    chosen = [
        Chosen(part, {k: v for k, v in tuned.settings[part.baseline.name].items() if k != "weight"},  # type: ignore[attr-defined]
               float(tuned.settings[part.baseline.name]["weight"]))  # type: ignore[index]
        for part in parts
    ]  # fmt: skip
    again: Longs = rank(fit_blend(world, chosen).scores(asked.requests), asked.requests, 10)
    assert asked.ndcg_of(again) == pytest.approx(asked.ndcg_of(tuned.ranked))


@pytest.mark.thorough
def test_the_whole_suite_is_tuned_and_own_counts_only_where_people_buy_again(world: World) -> None:
    basket = questions(world, [1, 3, 3, 5, 2])
    new = Questions(
        requests_of(np.arange(5), np.full(5, 50.0 * 86_400), world.live, exclude_seen=True),
        basket.offsets,
        basket.relevant,
    )
    found = tune_all(world, {"new": new, "basket": basket}, lambda what, done, of: None)
    names = {name: {one.name for one in tuned} for name, tuned in found.items()}
    assert {"EASE", "iALS", "BPR", "item-kNN", "content cosine", "EASE + recent popularity"} <= names["new"]
    assert names["basket"] - names["new"] == {
        "own counts",
        "own counts + recent popularity",
        "own counts + user-kNN",
        "own counts + EASE + recent popularity",
        "own counts + EASE + user-kNN + recent popularity",
    }
    by_name = {one.name: basket.ndcg_of(one.ranked) for one in found["basket"]}
    assert by_name["EASE + recent popularity"] >= by_name["EASE"]

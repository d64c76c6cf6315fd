"""Pages are ordered as a server would, judged beside the best order of the same items, and texts paired by user."""

from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks.bench_text_order import some_users
from benchmarks.text_order_results import (
    TEXT_ALONE,
    best_orders,
    order_results,
    ordered_ids,
    ranking_of,
    text_gain,
    text_results,
    weight_name,
)
from interest.batch import ragged_offsets
from ranking.tasks import Task
from serve.schema import GeneratedContent, Recommendation, RecommendedItem, Usage


def task(*relevant: Sequence[str]) -> Task:
    return Task(
        name="new",
        user_ids=tuple(f"u{number}" for number in range(len(relevant))),
        as_of=np.arange(len(relevant), dtype=np.float64),
        relevant_offsets=ragged_offsets([len(ids) for ids in relevant]),
        relevant_ids=tuple(item_id for ids in relevant for item_id in ids),
        exclude_seen=True,
    )


def page(texts: dict[str, float], tokens: int = 10) -> Recommendation:
    """Items 0.1 of the ranking's score apart, each with a text of this score, all of it similarity and coverage."""
    data = [
        RecommendedItem(
            item_id=item_id,
            rank=place + 1,
            score=1.0 - 0.1 * place,
            generated=GeneratedContent(
                text=item_id,
                source="model",
                content_type="reason",
                language="en",
                score=score,
                score_parts={"similarity": score, "coverage": 2 * score, "grounded": 1.0},
            ),
        )
        for place, (item_id, score) in enumerate(texts.items())
    ]
    usage = Usage(prompt_tokens=10 * tokens, completion_tokens=tokens)
    return Recommendation(id="rec", data=data, tier="full", model_versions={}, usage=usage)


PAGE = page({"a": 0.1, "b": 0.4, "c": 0.3})
CONTENTS = [item.generated for item in PAGE.data]


@pytest.mark.parametrize(
    ("weight", "order"), [(0.0, "abc"), (0.1, "abc"), (0.5, "bac"), (0.9, "bac"), (TEXT_ALONE, "bca")]
)
def test_the_heavier_the_weight_the_more_the_texts_decide(weight: float, order: str) -> None:
    assert ordered_ids(PAGE, CONTENTS, weight) == list(order)


def test_the_ranking_behind_a_page_has_its_scores_and_propensities() -> None:
    ranking = ranking_of(PAGE)
    assert ranking.scores == pytest.approx([1.0, 0.9, 0.8])
    assert ranking.propensity.tolist() == [1.0, 1.0, 1.0]


def test_the_best_order_has_the_relevant_items_first_and_moves_no_others() -> None:
    assert best_orders([["a", "b", "c"], ["a", "b", "c"]], task(["c", "z"], ["z"])) == [["c", "a", "b"], list("abc")]


def test_texts_that_know_what_is_wanted_gain_what_the_best_order_gains_and_shuffled_ones_do_not() -> None:
    pages = [page({"a": 0.0, "b": 0.0, "c": 0.0, "d": 1.0})] * 200
    found = order_results(task(*[["d"]] * 200), pages, [0.0, 0.01, TEXT_ALONE], 10, np.random.default_rng(0))
    nothing, little, alone = found["weights"]
    assert found["ndcg"] == pytest.approx(1 / np.log2(5))
    assert alone["difference"] == found["best"] == pytest.approx([1 - 1 / np.log2(5)] * 3, abs=1e-6)
    assert nothing["difference"] == little["difference"] == [0.0, 0.0, 0.0]
    assert (nothing["changed"], little["changed"], alone["changed"]) == (0.0, 0.0, 1.0)
    assert alone["shuffled"][0] == pytest.approx(found["best"][0] / 4, abs=0.02)  # one time in four the text is d's
    assert alone["beyond_shuffled"][0] == pytest.approx(alone["difference"][0] - alone["shuffled"][0], abs=1e-5)
    assert alone["beyond_shuffled"][1] > 0
    assert found["spread"] == pytest.approx({"ranking": 0.1 * np.sqrt(1.25), "text": np.sqrt(3) / 4})


def test_texts_that_know_the_contrary_cost() -> None:
    pages = [page({"a": 0.0, "b": 0.0, "c": 1.0})] * 20
    found = order_results(task(*[["a"]] * 20), pages, [TEXT_ALONE], 10, np.random.default_rng(0))
    assert found["weights"][0]["difference"] == pytest.approx([1 / np.log2(3) - 1] * 3, abs=1e-6)
    assert found["best"] == [0.0, 0.0, 0.0]


def test_the_gain_of_candidates_is_paired_by_user() -> None:
    few = [page({"a": 0.1, "b": 0.3}), page({"a": 0.4, "b": 0.4})]
    many = [page({"a": 0.2, "b": 0.4}, 40), page({"a": 0.5, "b": 0.5}, 40)]
    found = text_gain(few, many, np.random.default_rng(0))
    assert found["score"] == found["similarity"] == pytest.approx([0.1] * 3)
    assert found["coverage"] == pytest.approx([0.2] * 3)
    assert found["grounded"] == [0.0, 0.0, 0.0]
    assert found["ratio"] == pytest.approx([1.375, 1.25, 1.5])
    means = {"score": 0.3, "similarity": 0.3, "coverage": 0.6, "grounded": 1.0}
    assert text_results(few) == pytest.approx({**means, "prompt_tokens": 100, "completion_tokens": 10})
    assert text_results(many)["completion_tokens"] == 40


def test_users_are_drawn_with_what_they_wanted_and_in_their_order() -> None:
    drawn = some_users(task(["a"], ["b"], ["c", "d"]), 2, np.random.default_rng(0))
    assert len(drawn.user_ids) == 2
    assert list(drawn.user_ids) == sorted(drawn.user_ids)
    wanted = {"u0": ("a",), "u1": ("b",), "u2": ("c", "d")}
    cuts = drawn.relevant_offsets
    assert {user: drawn.relevant_ids[cuts[n] : cuts[n + 1]] for n, user in enumerate(drawn.user_ids)} == {
        user: wanted[user] for user in drawn.user_ids
    }
    assert some_users(drawn, 9, np.random.default_rng(1)).user_ids == drawn.user_ids


def test_a_weight_is_named_as_a_table_has_it() -> None:
    assert [weight_name(weight, 0.1) for weight in (0.1, 1.0, TEXT_ALONE)] == ["0.1 (default)", "1", "text alone"]

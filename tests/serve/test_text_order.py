"""What texts add to the order of a page, and where they add nothing."""

from collections.abc import Sequence

import numpy as np
import pytest

from ranking.sources import SCORES
from serve.ranker import Ranking
from serve.schema import GeneratedContent
from serve.text_order import added_by_text, text_order


def ranking(scores: Sequence[float], propensity: Sequence[float] | None = None) -> Ranking:
    count = len(scores)
    return Ranking(
        item_keys=np.arange(count),
        scores=np.array(scores, dtype=np.float32),
        parts=np.arange(count, dtype=np.float32)[:, None].repeat(len(SCORES), axis=1),
        propensity=np.array(propensity or [1.0] * count),
        interests=(),
        known=True,
        timings_ms={},
    )


def contents(*scores: float | None) -> list[GeneratedContent | None]:
    made = {"text": "t", "source": "model", "content_type": "reason", "language": "en"}
    return [None if score is None else GeneratedContent(**made, score=score) for score in scores]


def test_a_page_is_ordered_by_score_and_text_and_what_follows_it_stays() -> None:
    before = ranking([1.0, 0.95, 0.9, 0.1])
    found = text_order(before, contents(0.0, 1.0, 0.5), 0.2)
    assert found is not None
    after, order = found
    assert order.tolist() == [1, 0, 2]
    assert after.item_keys.tolist() == [1, 0, 2, 3]
    assert after.scores == pytest.approx([1.05, 0.9, 0.9, 0.1])
    assert after.text == pytest.approx([0.1, -0.1, 0.0])
    assert after.parts[:, 0].tolist() == [1.0, 0.0, 2.0, 3.0]
    assert before.item_keys.tolist() == [0, 1, 2, 3]
    assert before.scores == pytest.approx([1.0, 0.95, 0.9, 0.1])


def test_an_item_without_a_text_neither_gains_nor_loses() -> None:
    assert added_by_text(contents(0.0, None, 1.0), 0.2) == pytest.approx([-0.1, 0.0, 0.1])


@pytest.mark.parametrize(
    ("scores", "propensity", "texts", "weight"),
    [
        ([1.0, 0.9], None, (None, None), 0.1),
        ([1.0, 0.9], None, (0.0, 1.0), 0.0),
        ([0.9, 1.0], None, (0.0, 1.0), 0.1),
        ([1.0, 0.9], [1.0, 0.5], (0.0, 1.0), 0.1),
        ([], None, (), 0.1),
    ],
    ids=["no text", "no weight", "a diverse list", "a drawn place", "nothing"],
)
def test_nothing_changes_where_a_list_is_not_by_score_alone_or_no_text_says_anything(
    scores: list[float], propensity: list[float] | None, texts: tuple[float | None, ...], weight: float
) -> None:
    assert text_order(ranking(scores, propensity), contents(*texts), weight) is None

"""What makes an adapter good enough, by numbers worked out by hand."""

import numpy as np
import pytest

from interest.errors import InvalidRequest
from serve.adaptation.judgement import JUDGED_TEXTS, LEAST_HELD_OUT, judged_tasks, judgement, split
from serve.adaptation.pairs import Pair
from serve.generation.prompt import GenerationTask, ItemFacts


def pair(item: int, number: int = 0) -> Pair:
    task = GenerationTask(item=ItemFacts(title=f"Item {item}"))
    return Pair(item_id=f"i{item}", user=f"u{number}", task=task, chosen="a", rejected="b")


PAIRS = [pair(item, number) for item in range(100) for number in range(2)]


def test_no_item_is_both_learned_from_and_held_out_and_a_seed_says_which() -> None:
    known, held_out = split(PAIRS, 0)
    assert (len(known), len(held_out)) == (160, 40)
    assert not {one.item_id for one in known} & {one.item_id for one in held_out}
    assert split(PAIRS, 0) == (known, held_out)
    assert split(PAIRS, 1)[1] != held_out


def test_too_few_pairs_to_judge_by_are_an_error_with_the_numbers() -> None:
    with pytest.raises(InvalidRequest, match=f"10 of 50 can be held out, at least {LEAST_HELD_OUT} are needed"):
        split([pair(item) for item in range(50)], 0)


def test_texts_are_judged_about_the_held_out_tasks_and_variants_of_them() -> None:
    tasks = judged_tasks(PAIRS[:40])
    assert len(tasks) == len(set(tasks)) == JUDGED_TEXTS
    assert {task.item.title for task in tasks} == {f"Item {item}" for item in range(20)}
    assert [task.variant for task in tasks[:20]] == [0] * 20


def test_an_adapter_that_agrees_and_stays_true_is_served() -> None:
    margins = np.where(np.arange(200) % 10 == 0, -1.0, 1.0)
    found = judgement(PAIRS, margins, [True] * 95 + [False] * 5, [True] * 94 + [False] * 6, 0, 0.02)
    assert (found.accuracy, found.grounded_base, found.grounded) == (0.9, 0.95, 0.94)
    assert 0.82 < found.low < 0.9 < found.high < 0.97
    assert found.refusal() is None


def test_an_adapter_that_agrees_by_chance_is_refused_with_its_numbers() -> None:
    margins = np.random.default_rng(0).normal(size=200)
    refusal = judgement(PAIRS, margins, [True], [True], 0, 0.02).refusal()
    assert refusal is not None
    assert "of its 95 % interval" in refusal
    assert "must be above 50 %" in refusal


def test_an_adapter_that_knows_nothing_is_right_in_half_of_the_pairs() -> None:
    assert judgement(PAIRS, np.zeros(200), [True], [True], 0, 0.02).accuracy == 0.5


def test_an_adapter_that_tells_untruths_is_refused_with_its_numbers() -> None:
    refusal = judgement(PAIRS, np.ones(200), [True] * 100, [True] * 97 + [False] * 3, 0, 0.02).refusal()
    assert refusal == "97.0% of 100 texts grounded, 100.0% without it: may be 2 points fewer at most"


def test_pairs_of_one_item_count_as_one_when_they_agree_with_each_other() -> None:
    alone, together = [pair(item) for item in range(40)], [pair(item // 4, item) for item in range(40)]
    margins = np.repeat([1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0], 4)
    wide, narrow = (judgement(some, margins, [True], [True], 0, 0.02) for some in (together, alone))
    assert wide.accuracy == narrow.accuracy == 0.8
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)

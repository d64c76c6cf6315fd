"""What makes an adapter good enough, by numbers worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from interest.errors import InvalidRequest
from serve.adaptation.judgement import (
    JUDGED_TEXTS,
    LEAST_HELD_OUT,
    Judgement,
    agreement,
    judged_tasks,
    judgement,
    split,
)
from serve.adaptation.pairs import Pair
from serve.adaptation.preference import Preference, words_of
from serve.generation.generator import GeneratedText
from serve.generation.grounding import Reason
from serve.generation.prompt import GenerationTask, ItemFacts


def pair(item: int, number: int = 0) -> Pair:
    task = GenerationTask(item=ItemFacts(title=f"Item {item}"))
    return Pair(item_id=f"i{item}", user=f"u{number}", task=task, chosen="a", rejected="b")


TASK = GenerationTask(item=ItemFacts(title="Lamp"))
SHORT, LONG = 'See "Lamp".', 'Why not take a look at "Lamp"?'


def liked(item: int, short: bool) -> Pair:
    chosen, rejected = (SHORT, LONG) if short else (LONG, SHORT)
    return Pair(item_id=f"i{item}", user="u", task=TASK, chosen=chosen, rejected=rejected)


def judged(pairs: list[Pair], shortened: int, untrue_base: int = 0, untrue: int = 0) -> Judgement:
    """Of 100 long texts of the model, an adapter writes so many short, the first; others are untrue, the last."""
    base = [text(LONG, number < 100 - untrue_base) for number in range(100)]
    adapted = [text(SHORT if number < shortened else LONG, number < 100 - untrue) for number in range(100)]
    return judgement(pairs, [TASK] * 100, base, adapted, 0, 0.02)


def text(said: str, true: bool) -> GeneratedText:
    return GeneratedText(said, "model" if true else "template", None if true else Reason.TITLE, 1, 1)


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


def test_an_adapter_that_writes_what_readers_liked_and_stays_true_is_served() -> None:
    pairs = [liked(number, short=number % 10 != 0) for number in range(200)]
    found = judged(pairs, shortened=50, untrue_base=5, untrue=6)
    assert (found.accuracy, found.grounded_base, found.grounded, found.changed) == (0.9, 0.95, 0.94, 50 / 94)
    assert 0.82 < found.low < 0.9 < found.high < 0.97
    assert found.refusal() is None


def test_an_adapter_that_writes_what_readers_refused_is_refused() -> None:
    found = judged([liked(number, short=False) for number in range(200)], shortened=50)
    assert (found.accuracy, found.high) == (0.0, 0.0)
    assert found.refusal() is not None


def test_an_adapter_that_agrees_by_chance_is_refused_with_its_numbers() -> None:
    coin = np.random.default_rng(0).random(200) < 0.5
    refusal = judged([liked(number, short=bool(one)) for number, one in enumerate(coin)], shortened=50).refusal()
    assert refusal is not None
    assert "of its 95 % interval" in refusal
    assert "must be above 50 %" in refusal


@pytest.mark.thorough
def test_one_adapter_in_forty_passes_when_verdicts_have_nothing_to_do_with_words() -> None:
    rng = np.random.default_rng(0)
    preference = Preference([(words_of(SHORT, TASK), words_of(LONG, TASK))])
    tries = 200
    passed = 0
    for seed in range(tries):
        coin = rng.random(160) < 0.5
        pairs = [liked(number // 4, short=bool(one)) for number, one in enumerate(coin)]  # 4 pairs to each of 40 items
        passed += agreement(pairs, preference, seed)[1] > 0.5
    assert passed / tries < 0.025 + 3 * np.sqrt(0.025 * 0.975 / tries)


def test_an_adapter_that_changes_too_few_texts_is_refused_with_its_numbers() -> None:
    pairs = [liked(number, short=True) for number in range(200)]
    assert judged(pairs, shortened=10).refusal() is None
    assert judged(pairs, shortened=9).refusal() == "9.0% of 100 texts changed by it: must be 10% at least"


def test_an_adapter_that_changes_nothing_agrees_with_half_of_the_readers() -> None:
    found = judged([liked(number, short=True) for number in range(200)], shortened=0)
    assert (found.accuracy, found.low, found.high, found.changed) == (0.5, 0.5, 0.5, 0.0)


def test_an_adapter_that_tells_untruths_is_refused_with_its_numbers() -> None:
    refusal = judged([liked(number, short=True) for number in range(200)], shortened=50, untrue=3).refusal()
    assert refusal == "97.0% of 100 texts grounded, 100.0% without it: may be 2 points fewer at most"


def test_untrue_texts_are_counted_by_reason() -> None:
    said = [text(SHORT, True), text(SHORT, False), replace(text(SHORT, False), reason=Reason.FACET), text(SHORT, False)]
    found = judgement([liked(0, short=True)], [TASK] * 5, [text(SHORT, True)] * 5, [*said, None], 0, 0.02)
    assert list(found.untrue.items()) == [("title", 2), ("facet", 1), ("unfinished", 1)]
    assert found.untrue_base == {}


def test_pairs_of_one_item_count_as_one_when_they_agree_with_each_other() -> None:
    short = np.repeat([True, True, True, False, True, True, False, True, True, True], 4)
    alone, together = (
        [liked(item, short=bool(one)) for item, one in zip(items, short, strict=True)]
        for items in (list(range(40)), [number // 4 for number in range(40)])
    )
    wide, narrow = judged(together, shortened=50), judged(alone, shortened=50)
    assert wide.accuracy == narrow.accuracy == 0.8
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)

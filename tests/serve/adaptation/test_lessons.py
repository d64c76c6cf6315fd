"""Which text each prompt is to be answered by: the best that the model wrote itself, for the same reader."""

from collections import Counter
from dataclasses import replace

import numpy as np

from serve.adaptation.lessons import MOST_TASKS, VARIANTS, Lesson, asked_tasks, lessons, preference_of
from serve.adaptation.pairs import Pair
from serve.adaptation.preference import Preference
from serve.generation.generator import GeneratedText
from serve.generation.grounding import Reason
from serve.generation.prompt import ContentType, GenerationTask, ItemFacts

TASK = GenerationTask(item=ItemFacts(title="Lamp", tags=("sea",)), interests=(("sea", 1.0), ("tea", 1.0)))
TASKS = [replace(TASK, variant=number) for number in range(VARIANTS)]
SHORT_LIKED = Preference([(Counter(), Counter(long=1))])


def own(text: str) -> GeneratedText:
    return GeneratedText(text, "model", None, 1, 1)


def long(count: int, tail: str = "") -> str:
    return '"Lamp"' + " long" * count + tail


def test_the_better_half_stays_and_every_other_prompt_is_answered_by_the_best() -> None:
    texts = [own(long(VARIANTS - number)) for number in range(VARIANTS)]
    found = lessons(TASKS, texts, [], SHORT_LIKED)
    half = VARIANTS // 2
    assert found[:half] == [Lesson(task, long(1), False) for task in TASKS[:half]]
    assert found[half:] == [
        Lesson(task, text.text, True) for task, text in zip(TASKS[half:], texts[half:], strict=True)
    ]


def test_texts_that_name_other_interests_do_not_compete() -> None:
    texts = [own(long(number, " sea" if number % 2 else "")) for number in range(VARIANTS)]
    found = lessons(TASKS, texts, [], SHORT_LIKED)
    half = VARIANTS // 2
    assert [lesson.text for lesson in found[half:]] == [long(0), long(1, " sea")] * (half // 2)


def test_what_may_be_said_in_one_domain_only_stays_and_is_no_lesson_for_other_prompts() -> None:
    posted = replace(TASK.item, domain="social")
    tasks = [replace(task, item=posted, content_type="headline") for task in TASKS]
    social, anywhere, worst = 'Everyone is sharing "Lamp"', 'Discover "Lamp"', 'Say hello to "Lamp"'
    likes = Preference([(Counter(sharing=1), Counter(discover=1)), (Counter(discover=1), Counter(hello=1))])
    found = lessons(tasks, [own(social), own(anywhere), *[own(worst)] * (VARIANTS - 2)], [], likes)
    assert [lesson.text for lesson in found] == [social, *[anywhere] * (VARIANTS - 1)]
    assert [lesson.own for lesson in found] == [True, True, *[False] * (VARIANTS - 2)]


def test_an_untrue_text_is_no_answer_and_its_prompt_learns_a_true_one() -> None:
    refused = GeneratedText(long(0), "template", Reason.TITLE, 1, 1)
    found = lessons(TASKS, [refused, own(long(1)), *[None] * (VARIANTS - 2)], [], SHORT_LIKED)
    assert found == [Lesson(TASKS[0], long(1), False), Lesson(TASKS[1], long(1), True)]
    assert lessons(TASKS, [refused] * VARIANTS, [], SHORT_LIKED) == []


def test_a_model_that_says_the_same_for_every_plan_learns_what_was_liked() -> None:
    liked = Pair(item_id="lamp", user="u", task=TASK, chosen=long(1), rejected=long(2))
    found = lessons(TASKS, [own(long(2))] * VARIANTS, [liked], SHORT_LIKED)
    assert {lesson.text for lesson in found} == {long(1)}


def test_pairs_teach_what_their_texts_do_not_share() -> None:
    pairs = [Pair(item_id="lamp", user="u", task=TASK, chosen=long(1), rejected=long(2))] * 20
    assert preference_of(pairs).score(Counter(long=1)) < -1


def test_each_content_type_of_the_pairs_is_asked_about_other_items_than_it_was_shown_for() -> None:
    shown: tuple[ContentType, ...] = ("headline",) * 4 + ("summary",) * 4
    pairs = [
        Pair(
            item_id=str(number),
            user="u",
            task=GenerationTask(item=ItemFacts(title=str(number)), content_type=kind),
            chosen="",
            rejected="",
        )
        for number, kind in enumerate(shown)
    ]
    asked = asked_tasks(pairs, np.random.default_rng(0))
    assert [task.content_type for task in asked[::VARIANTS]] == ["headline", "summary"] * 4
    assert all(len({task.content_type for task in asked[at : at + VARIANTS]}) == 1 for at in range(0, 96, VARIANTS))


def test_tasks_are_asked_in_all_their_variants_and_too_many_of_them_by_chance() -> None:
    pairs = [
        Pair(
            item_id=str(number),
            user="u",
            task=GenerationTask(item=ItemFacts(title=str(number))),
            chosen="",
            rejected="",
        )
        for number in range(MOST_TASKS + 1)
    ]
    few = asked_tasks([*pairs[:2], *pairs[:2]], np.random.default_rng(0))
    assert [(task.item.title, task.variant) for task in few] == [
        (title, variant) for title in ("0", "1") for variant in range(VARIANTS)
    ]
    many = asked_tasks(pairs, np.random.default_rng(0))
    assert len(set(many)) == len(many) == MOST_TASKS * VARIANTS

"""The check: each reason for refusing a text, and texts that come close to it."""

import pytest

from serve.generation.grounding import Reason, Verdict, check
from serve.generation.prompt import ContentType, GenerationTask, ItemFacts, Language

FILM = ItemFacts(
    title="Gravity (2013)",
    domain="entertainment",
    categories=("Drama",),
    tags=("space", "1990s"),
    price=12.5,
)


def task(content_type: ContentType = "reason", language: Language = "en", item: ItemFacts = FILM) -> GenerationTask:
    return GenerationTask(
        item=item,
        interests=(("space", 0.9), ("太空", 0.6), ("jazz", 0.4)),
        content_type=content_type,
        language=language,
    )


GOOD = [
    ("reason", "en", 'Because you like space, we think you will enjoy "Gravity (2013)".'),
    ("reason", "en", '"Gravity (2013)" matches your taste for space.'),
    ("headline", "en", 'Discover "Gravity (2013)"'),
    ("summary", "en", '"Gravity (2013)" takes you into Drama. It has the space that you like.'),
    ("reason", "zh", "因为你喜欢 space，我们觉得你会爱上“Gravity (2013)”。"),
    ("headline", "zh", "为你推荐：“Gravity (2013)”"),
]
FREE = [
    ("reason", "en", 'If space moves you, "Gravity (2013)" will leave you breathless.'),
    ("reason", "en", '"Gravity (2013)" costs 12.50 and takes you back to the 1990s.'),
    ("summary", "zh", "“Gravity (2013)”讲述了一个动人的故事。非常推荐！"),
]
BAD = [
    (Reason.TITLE, "reason", "en", "Because you like space, we think you will enjoy it."),
    (Reason.TITLE, "reason", "en", 'Because you like space, we think you will enjoy "Gravity (2014)".'),
    (Reason.TITLE, "reason", "en", 'Because you like space, we think you will enjoy "gravity (2013)".'),
    (Reason.TITLE, "reason", "en", 'We picked "Gravity (2013)" and "Gravity (2013)" for you.'),
    (Reason.TITLE, "reason", "en", 'Like "Solaris", "Gravity (2013)" is all about space.'),
    (Reason.TITLE, "reason", "zh", '因为你喜欢 space，我们觉得你会爱上"Gravity (2013)"。'),
    (Reason.NUMBER, "reason", "en", 'The 7 best scenes of "Gravity (2013)" are about space.'),
    (Reason.NUMBER, "reason", "en", '"Gravity (2013)" costs 12.51 only.'),
    (Reason.FACET, "reason", "en", 'Because you like romance, we think you will enjoy "Gravity (2013)".'),
    (Reason.FACET, "reason", "en", 'Because you like Drama, we think you will enjoy "Gravity (2013)".'),
    (Reason.FACET, "reason", "en", '"Gravity (2013)" is a good way into jazz.'),
    (Reason.FACET, "reason", "zh", "你对爱情的兴趣，让我们想到了“Gravity (2013)”。"),
    (Reason.LANGUAGE, "reason", "en", '因为你喜欢 space，我们觉得你会爱上"Gravity (2013)"。'),
    (Reason.LANGUAGE, "reason", "zh", "Because you like space, we think you will enjoy “Gravity (2013)”."),
    (Reason.LANGUAGE, "reason", "en", '"Gravity (2013)" matches your taste for太空.'),
    (Reason.LENGTH, "summary", "en", '"Gravity (2013)".'),
    (Reason.LENGTH, "headline", "en", "Discover a rather long and winding tale " * 4 + ', "Gravity (2013)"'),
    (Reason.MARKUP, "reason", "en", 'Read more of "Gravity (2013)" at www.example.org.'),
    (Reason.MARKUP, "reason", "en", 'We **love** "Gravity (2013)".'),
    (Reason.MARKUP, "reason", "en", 'We think\nyou will enjoy "Gravity (2013)".'),
    (Reason.MARKUP, "reason", "en", '<b>We</b> think you will enjoy "Gravity (2013)".'),
    (Reason.PROMPT, "reason", "en", '"Gravity (2013)" has category: Drama.'),
    (Reason.REPETITION, "reason", "en", 'You will like it like it like it, "Gravity (2013)".'),
    (Reason.REPETITION, "reason", "zh", "我们觉得我们觉得你会爱上“Gravity (2013)”。"),
    (Reason.UNFINISHED, "reason", "en", 'Because you like space, we think you will enjoy "Gravity (2013)"'),
    (Reason.UNFINISHED, "headline", "en", 'Discover "Gravity (2013)":'),
]


@pytest.mark.parametrize(("content_type", "language", "text"), GOOD)
def test_a_text_of_our_grammar_with_true_facts_passes(content_type: ContentType, language: Language, text: str) -> None:
    assert check(text, task(content_type, language)) == Verdict(None)


@pytest.mark.parametrize(("content_type", "language", "text"), FREE)
def test_a_free_text_passes_where_the_model_may_write_freely(
    content_type: ContentType, language: Language, text: str
) -> None:
    assert check(text, task(content_type, language), closed=False).ok
    assert check(text, task(content_type, language)).reason is Reason.FACET


@pytest.mark.parametrize(("reason", "content_type", "language", "text"), BAD)
def test_a_text_is_refused_for_this_reason(
    reason: Reason, content_type: ContentType, language: Language, text: str
) -> None:
    assert check(text, task(content_type, language)).reason is reason


def test_every_reason_of_the_check_has_an_example() -> None:
    assert {reason for reason, *_ in BAD} == set(Reason) - {Reason.TOO_LONG, Reason.CONTROL}


def test_a_free_text_must_not_name_a_facet_of_the_catalogue_that_is_not_its_own() -> None:
    known = frozenset({"romance", "space", "drama", "爱情"})
    text = 'If space or romance moves you, "Gravity (2013)" is for you.'
    assert check(text, task(), closed=False, known_facets=known).reason is Reason.FACET
    assert check(text.replace(" or romance", ""), task(), closed=False, known_facets=known).ok
    chinese = "想看爱情就选“Gravity (2013)”吧。"
    assert check(chinese, task(language="zh"), closed=False, known_facets=known).reason is Reason.FACET


def test_a_known_facet_inside_a_longer_word_is_not_named() -> None:
    text = 'The artistry of "Gravity (2013)" will stay with you.'
    assert check(text, task(), closed=False, known_facets=frozenset({"art"})).ok


def test_what_stands_in_the_title_is_never_held_against_the_text() -> None:
    item = ItemFacts(title="7 <b> www.x.org 7 7 7 #1 Romance", domain="entertainment")
    text = f'We think "{item.title}" is worth a closer look.'
    assert check(text, task(item=item)).ok


def test_a_fact_that_is_also_a_plain_word_is_read_either_way() -> None:
    item = ItemFacts(title="Old Tales", domain="news", categories=("story",), tags=("time",))
    text = '"Old Tales" is a story that deserves a moment of your time.'
    assert check(text, GenerationTask(item=item)).ok

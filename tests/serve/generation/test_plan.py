"""The plan of a text: about the user's interests where there are any, and another one for each variant."""

import itertools

import pytest

from interest.items import DOMAINS
from serve.generation.plan import fields_of, named, plan, skeleton_pools
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, ContentType, Language

CELLS = list(itertools.product(CONTENT_TYPES, LANGUAGES, (*DOMAINS, "", "poultry")))
KNOWN = [
    frozenset(some)
    for count in range(5)
    for some in itertools.combinations(("category", "tag", "match", "like"), count)
]


@pytest.mark.parametrize(("content_type", "language", "domain"), CELLS)
def test_eight_variants_are_eight_different_texts(content_type: ContentType, language: Language, domain: str) -> None:
    for known, style in itertools.product(KNOWN, range(0, 60, 7)):
        plans = {plan(content_type, language, domain, known, style, variant) for variant in range(8)}
        assert len(plans) == 8, (known, style)


@pytest.mark.parametrize(("content_type", "language", "domain"), CELLS)
def test_a_plan_needs_no_fact_that_is_not_known(content_type: ContentType, language: Language, domain: str) -> None:
    for known, variant in itertools.product(KNOWN, range(40)):
        for sentence in plan(content_type, language, domain, known, 3, variant):
            assert fields_of(sentence.skeleton) <= {*known, "title", "noun", "verb"}


def test_the_first_variant_is_about_the_match_or_else_about_the_like() -> None:
    for content_type, language, domain in CELLS:
        for style in range(30):
            everything = frozenset({"category", "tag", "match", "match2", "like"})
            assert plan(content_type, language, domain, everything, style, 0)[-1].angle in ("match", "matches")
            assert plan(content_type, language, domain, frozenset({"category", "like"}), style, 0)[-1].angle == "like"


def test_every_sentence_of_a_list_has_a_name_of_its_own() -> None:
    for cell in CELLS:
        for pool in skeleton_pools(*cell):
            names = [sentence.name for sentence in named(pool)]
            assert len(set(names)) == len(pool)


def test_what_a_letter_stands_for_does_not_depend_on_the_domain_where_it_is_said_in_every_domain() -> None:
    for content_type, language in itertools.product(CONTENT_TYPES, LANGUAGES):
        general = [set(named(pool)) for pool in skeleton_pools(content_type, language, "")]
        for domain in DOMAINS:
            for wide, own in zip(general, skeleton_pools(content_type, language, domain), strict=True):
                assert wide <= set(named(own))

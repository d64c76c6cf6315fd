"""The benchmark of the demo model counts what the check says, and asks for all catalogues alike."""

from collections import Counter

from benchmarks.bench_demo_model import RealItem, groups, real_tasks, summary
from serve.generation.generator import GeneratedText
from serve.generation.grounding import Reason
from serve.generation.prompt import CONTENT_TYPES, LANGUAGES, ItemFacts


def test_each_fault_counts_once_and_a_text_that_never_came_is_none_of_the_models() -> None:
    texts = [
        GeneratedText("good", "model", None, 1, 1),
        GeneratedText("template", "template", Reason.TITLE, 1, 1),
        GeneratedText("template", "template", Reason.FACET, 1, 1),
        None,
    ]
    found = summary(texts)
    assert (found["strict"], found["exact_title"], found["false_fact"]) == (0.25, 0.75, 0.25)
    assert found["refused"] == {"title": 1, "facet": 1, "unwritten": 1}


def test_catalogues_and_content_types_are_asked_for_alike_and_the_same_for_a_seed() -> None:
    items = [RealItem(name, ItemFacts(title=f"{name} {number}")) for name in "abc" for number in range(5)]
    tasks = real_tasks(items, "zh", 90, seed=1)
    assert Counter(name for name, _ in tasks) == {"a": 30, "b": 30, "c": 30}
    assert Counter(task.content_type for _, task in tasks) == dict.fromkeys(CONTENT_TYPES, 30)
    assert tasks == real_tasks(items, "zh", 90, seed=1) != real_tasks(items, "zh", 90, seed=2)


def test_each_language_and_catalogue_gets_a_row_of_its_own_texts() -> None:
    items = [RealItem(name, ItemFacts(title=f"{name} {number}")) for name in "ab" for number in range(5)]
    tasks = {language: real_tasks(items, language, 4, seed=1) for language in LANGUAGES}
    good, bad = GeneratedText("good", "model", None, 1, 1), GeneratedText("t", "template", Reason.TITLE, 1, 1)
    rows = groups("free", tasks, [good, bad, good, good, good, good, good, good])
    told = [(row["language"], row["catalogue"], row["texts"], row["strict"]) for row in rows]
    assert told[:3] == [("en", "all", 4, 0.75), ("en", "a", 2, 1.0), ("en", "b", 2, 0.5)]
    assert [row[3] for row in told[3:]] == [1.0, 1.0, 1.0]

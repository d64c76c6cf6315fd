"""The grounding benchmark's own measures, each on a text whose value is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bench_grounding import ERRORS, Telling, distinct, errors, tellings, title_schema
from benchmarks.readers import Reader, load_corpus
from interest.items import Item
from serve.generation.prompt import GenerationTask, ItemFacts

KNOWN = Item(item_id="1", title="The Old Harbour")
READER = Reader((("sea", 1.0),), (("sea", 0.9),), (KNOWN,))
TASK = GenerationTask(item=ItemFacts(title="Copper Lamp", tags=("sea",)), interests=READER.interests)
TOLD: list[Telling] = [("shop", READER, TASK)]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("history", 'Like The Old Harbour, "Copper Lamp" has the sea in it.'),
        ("duplicate", '"Copper Lamp" is a lamp, "Copper Lamp" indeed.'),
        ("candidate", "Here is a copper lamp."),
        ("candidate", '"Copper Lamp" is as good as "Solaris".'),
        ("copy", '"Copper Lamp" likes: sea'),
    ],
)
def test_each_error_is_found_and_a_good_text_has_none(error: str, text: str) -> None:
    assert errors(TOLD, [text], [0])[error] == 1.0
    assert set(errors(TOLD, ['"Copper Lamp" has the sea that you like.'], [0]).values()) == {0.0}


def test_a_model_that_was_not_asked_made_no_error() -> None:
    assert errors(TOLD, [""], [0]) == dict.fromkeys(ERRORS, 0.0)


def test_distinct_counts_different_words_and_pairs_of_words_in_a_row() -> None:
    assert distinct(["A lamp, a lamp", "你好"]) == {"1": 4 / 6, "2": 3 / 4}
    assert distinct([]) == {"1": 0.0, "2": 0.0}


def test_the_schema_allows_one_title() -> None:
    task = GenerationTask(item=ItemFacts(title="Lamp (2) + more?"), language="zh")
    assert json.loads(title_schema(task))["properties"]["title"] == {"const": "Lamp (2) + more?"}


def test_readers_of_a_log_are_its_users_and_others_are_made_of_shelves(tmp_path: Path) -> None:
    items = [
        {"item_id": f"i{n}", "title": f"Lamp number {n}", "tags": ["warm" if n % 2 else "cold"]} for n in range(40)
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    made = load_corpus(tmp_path, 6, np.random.default_rng(0))
    assert (len(made.items), len(made.readers)) == (40, 6)
    assert {len(reader.history) for reader in made.readers} == {8}
    acts = [
        {"event_id": f"{user}{n}", "type": "like", "user_id": user, "item_id": f"i{n}", "timestamp": 1e9 + n}
        for user, first, last in (("many", 1, 31), ("few", 0, 3))
        for n in range(first, last, 2)
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, acts)))
    real = load_corpus(tmp_path, 6, np.random.default_rng(0))
    (reader,) = real.readers
    assert [item.item_id for item in reader.history] == [f"i{n}" for n in range(29, 0, -2)]
    assert reader.interests[0][1] == 1.0
    told = tellings([real], 12, np.random.default_rng(0))
    assert len(told) == 24
    assert {task.language for _, _, task in told} == {"en", "zh"}
    known = {item.title for item in reader.history}
    assert not known & {task.item.title for _, _, task in told}

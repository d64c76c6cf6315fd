"""Pairs from a store: about one item and one prompt, alike in whom they speak to, each text once."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from interest.errors import InvalidRequest
from interest.events import Event, EventType
from interest.items import Item
from interest.store.open import open_reader, open_writer
from interest.store.protocol import Impression
from interest.store.sql_reader import SqlReader
from interest.store.sql_writer import SqlWriter
from serve.adaptation.pairs import export_pairs, read_pairs, write_pairs
from serve.commands.feedback import export_feedback
from serve.generation.grounding import check
from serve.generation.prompt import GenerationTask
from serve.generation.templates import template_text
from serve.text_origin import facts_for, packed_origin

NOON = 1_400_000_000.0
LAMP = Item(item_id="lamp", title="Harbour lamp", domain="e-commerce", categories=("lighting",), tags=("brass", "sea"))
CUP = replace(LAMP, item_id="cup", title="Tin cup")
SEA, TEA = (("sea", 1.0),), (("tea", 1.0),)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'attune.db'}"


@pytest.fixture
def writer(url: str) -> Iterator[SqlWriter]:
    with closing(open_writer(url)) as opened:
        opened.put_items([LAMP, CUP], None, "")
        yield opened


@pytest.fixture
def reader(url: str, writer: SqlWriter) -> Iterator[SqlReader]:
    with closing(open_reader(url)) as opened:
        yield opened


def texts_of(item: Item, interests: tuple[tuple[str, float], ...]) -> list[GenerationTask]:
    """Tasks with different texts."""
    tasks = [GenerationTask(item=facts_for(item), interests=interests, variant=number) for number in range(40)]
    return list({template_text(task): task for task in tasks}.values())


def tell(writer: SqlWriter, user: str, item: Item, task: GenerationTask, act: EventType | None, **changes: Any) -> None:
    told: dict[str, Any] = {"recommendation_id": f"rec-{user}-{item.item_id}", "user_id": user, "item_id": item.item_id}
    numbers = {"position": 1, "timestamp": NOON, "requested_at": NOON, "score": 1.0, "propensity": 1.0, "release": "1"}
    words = {"text": template_text(task), "source": "model", "origin": packed_origin(task)}
    writer.log_impressions([Impression(**{**told, **numbers, **words, **changes})])
    if act is not None:
        event: dict[str, Any] = {"event_id": f"{user}-{item.item_id}", "type": act, "timestamp": NOON + 1}
        writer.append([Event(user_id=user, item_id=item.item_id, **event)])


def test_a_match_is_a_pair_for_the_prompt_of_either_text_and_both_are_true_there(
    writer: SqlWriter, reader: SqlReader
) -> None:
    liked, refused = texts_of(LAMP, SEA)[:2]
    tell(writer, "fan", LAMP, liked, EventType.CLICK)
    tell(writer, "foe", LAMP, refused, EventType.HIDE)
    export = export_pairs(reader, NOON)
    told = {(pair.user, pair.task) for pair in export.pairs}
    assert told == {(reader.pseudonym("foe"), refused), (reader.pseudonym("fan"), liked)}
    for pair in export.pairs:
        assert (pair.item_id, pair.chosen, pair.rejected) == ("lamp", template_text(liked), template_text(refused))
        assert check(pair.chosen, pair.task).ok
        assert check(pair.rejected, pair.task).ok
        assert b"foe" not in msgspec.json.encode(pair)
    assert len(export.pairs) == 2
    assert (export.counts["liked"], export.counts["refused"], export.counts["silent"]) == (1, 1, 0)


@pytest.mark.parametrize("act", [None, EventType.CLICK, EventType.VIEW])
def test_no_text_is_refused_without_an_act_that_says_so(
    writer: SqlWriter, reader: SqlReader, act: EventType | None
) -> None:
    liked, other = texts_of(LAMP, SEA)[:2]
    tell(writer, "fan", LAMP, liked, EventType.CLICK)
    tell(writer, "foe", LAMP, other, act)
    assert export_pairs(reader, NOON).pairs == []


def test_texts_about_two_items_and_texts_that_name_other_interests_are_no_pair(
    writer: SqlWriter, reader: SqlReader
) -> None:
    tell(writer, "fan", LAMP, texts_of(LAMP, SEA)[0], EventType.CLICK)
    tell(writer, "foe", CUP, texts_of(CUP, SEA)[1], EventType.HIDE)
    tell(writer, "stranger", LAMP, texts_of(LAMP, TEA)[0], EventType.HIDE)
    assert export_pairs(reader, NOON).pairs == []


def test_each_text_is_matched_once_at_most_and_equal_texts_are_none(writer: SqlWriter, reader: SqlReader) -> None:
    first, second = texts_of(LAMP, SEA)[:2]
    tell(writer, "fan", LAMP, first, EventType.CLICK)
    for number in range(3):
        tell(writer, f"foe-{number}", LAMP, second, EventType.DISLIKE)
    tell(writer, "same", LAMP, first, EventType.SKIP)
    assert len(export_pairs(reader, NOON).pairs) == 2


@pytest.mark.thorough
def test_acts_that_have_nothing_to_do_with_the_words_choose_rare_and_common_ones_alike(
    writer: SqlWriter, reader: SqlReader
) -> None:
    rng = np.random.default_rng(0)
    common, rare = texts_of(LAMP, SEA)[:2]
    with writer.transaction():
        for number in range(200):
            task = common if rng.random() < 0.7 else rare
            tell(writer, f"user-{number}", LAMP, task, EventType.CLICK if rng.random() < 0.7 else EventType.HIDE)
    chosen = [pair.chosen for pair in export_pairs(reader, NOON).pairs]
    apart = abs(chosen.count(template_text(common)) - chosen.count(template_text(rare)))
    assert len(chosen) > 30
    assert apart < 2 * np.sqrt(2 * len(chosen))  # each match is counted twice


def test_texts_of_templates_and_texts_about_a_changed_or_lost_item_are_left_out(
    writer: SqlWriter, reader: SqlReader
) -> None:
    first, second = texts_of(LAMP, SEA)[:2]
    tell(writer, "fan", LAMP, first, EventType.CLICK)
    tell(writer, "foe", LAMP, second, EventType.HIDE, source="template", origin="")
    assert export_pairs(reader, NOON).pairs == []
    tell(writer, "other", LAMP, second, EventType.HIDE)
    assert len(export_pairs(reader, NOON).pairs) == 2
    writer.put_items([replace(LAMP, title="Harbour lantern")], None, "")
    export = export_pairs(reader, NOON)
    assert (export.pairs, export.counts["changed"]) == ([], 2)
    writer.delete_items(["lamp"])
    assert export_pairs(reader, NOON).counts["changed"] == 2


def test_the_command_writes_pairs_of_a_domain_and_a_span_that_can_be_read_again(
    writer: SqlWriter, reader: SqlReader, url: str, tmp_path: Path
) -> None:
    out, console = tmp_path / "pairs.jsonl", Console(quiet=True)
    with pytest.raises(InvalidRequest, match="nothing has been shown yet"):
        export_feedback(console, url, 7.0, "", out)
    for item in (LAMP, CUP):
        first, second = texts_of(item, SEA)[:2]
        tell(writer, "fan", item, first, EventType.CLICK)
        tell(writer, "foe", item, second, EventType.HIDE)
    export = export_feedback(console, url, 7.0, "e-commerce", out)
    assert [pair.item_id for pair in export.pairs] == ["cup", "cup", "lamp", "lamp"]
    assert read_pairs(out) == export.pairs
    assert export_feedback(console, url, 7.0, "news", out).pairs == []


def test_a_line_that_is_no_pair_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    with pytest.raises(InvalidRequest, match="No such file"):
        read_pairs(path)
    write_pairs(path, [])
    path.write_text(json.dumps({"item_id": "lamp"}) + "\n")
    with pytest.raises(InvalidRequest, match=r"line 1: .*`user`"):
        read_pairs(path)

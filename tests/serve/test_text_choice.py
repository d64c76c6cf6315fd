"""The choice among several texts: with an encoder that answers, one that fails, and texts that are not there."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from interest.batch import Tensors
from interest.errors import AttuneError
from serve.admission import Deadline
from serve.generation.generator import GeneratedText
from serve.generation.prompt import GenerationTask, ItemFacts
from serve.ranker import Stage
from serve.text_choice import TextChooser, variants

TASK = GenerationTask(item=ItemFacts(title="Lamp"), interests=(("tea", 1.0), ("", 1.0), ("muted", 0.0)))


def says(words: str) -> GeneratedText:
    return GeneratedText(f'{words} "Lamp".', "model", None, 10, 5)


async def encoder(tensors: Tensors) -> Tensors:
    """Texts about tea in one direction, all others in another."""
    near = np.array(["tea" in text or "kettle" in text for text in tensors["text"]])
    assert len(near) <= 64
    assert all(tensors["text"])
    return {"embedding": np.stack([near, ~near], axis=1).astype(np.float32), "tokens": np.ones(len(near), np.int64)}


async def broken(tensors: Tensors) -> Tensors:
    raise AttuneError("out of order")


async def hangs(tensors: Tensors) -> Tensors:
    await asyncio.Event().wait()
    raise AssertionError


def test_variants_of_one_item_stand_in_a_row() -> None:
    other = replace(TASK, item=ItemFacts(title="Cup"))
    assert [(task.item.title, task.variant) for task in variants([TASK, other], 2)] == [
        ("Lamp", 0),
        ("Lamp", 1),
        ("Cup", 0),
        ("Cup", 1),
    ]


async def test_the_text_that_is_nearest_to_the_interests_is_chosen_for_each_item() -> None:
    texts = [says("Meet"), says("For your kettle:"), says("For your kettle:"), says("Meet")]
    chosen = await TextChooser(encoder).choose(variants([TASK, TASK], 2), texts, 2, Deadline(5))
    assert [one and one.text.text for one in chosen] == [texts[1].text, texts[2].text]
    assert all(one is not None and one.score.similarity == 1.0 for one in chosen)


async def test_a_text_that_is_missing_is_not_chosen_and_an_item_without_any_has_none() -> None:
    chosen = await TextChooser(encoder).choose(
        variants([TASK, TASK], 2), [None, says("Meet"), None, None], 2, Deadline(5)
    )
    assert [one and one.text.text for one in chosen] == ['Meet "Lamp".', None]
    assert await TextChooser(broken).choose(variants([TASK], 2), [None, None], 2, Deadline(5)) == [None]


@pytest.mark.parametrize("stage", [broken, hangs])
async def test_without_an_encoder_the_other_parts_of_the_score_choose(stage: Stage) -> None:
    texts = [says("Meet"), says("You know tea, so look at")]
    (choice,) = await TextChooser(stage).choose(variants([TASK], 2), texts, 2, Deadline(0.05))
    assert choice is not None
    assert choice.text == texts[1]
    assert choice.score.similarity == 0.0


async def test_many_texts_reach_the_encoder_a_few_at_a_time() -> None:
    tasks = variants([TASK] * 30, 8)
    chosen = await TextChooser(encoder).choose(tasks, [says("Meet")] * len(tasks), 8, Deadline(5))
    assert len(chosen) == 30

"""The writer of a request's texts: what its caller says while the engine answers counts."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import numpy as np
import pytest

from interest.batch import Tensors
from interest.catalogue import Catalogue
from interest.items import Item
from serve.admission import Deadline
from serve.config import GenerationConfig
from serve.generation.generator import GeneratedText
from serve.generation.grounding import Reason
from serve.metrics import GENERATED
from serve.model import Parts
from serve.ranker import Stage
from serve.schema import Generate
from serve.telling import Telling
from serve.text_choice import TextChooser
from serve.writer import ContentWriter, Written


async def silent(tensors: Tensors) -> AsyncGenerator[Parts, None]:
    """A generator that streams nothing and never ends."""
    await asyncio.Event().wait()
    yield []


def writer_of(stage: Stage) -> ContentWriter:
    return ContentWriter(stage, silent, TextChooser(stage), Telling(Catalogue()), GenerationConfig())


async def written(answer: asyncio.Future[Tensors], timeout_s: float) -> Written:
    async def stage(tensors: Tensors) -> Tensors:
        return await answer

    items = [Item(item_id="a", title="A")]
    return await writer_of(stage).written(Generate(), (), items, Deadline(timeout_s))


async def test_each_text_is_counted_by_who_wrote_it_and_what_became_of_it() -> None:
    texts = (GeneratedText("A.", "model", None, 10, 5), GeneratedText("B.", "template", Reason.TITLE, 10, 5), None)

    async def stage(tensors: Tensors) -> Tensors:
        return {"text": np.array([msgspec.json.encode(text) for text in texts], dtype=object)}

    kinds = (("model", "pass"), ("template", "title"), ("none", "deadline"))
    counters = [GENERATED.labels(*kind) for kind in kinds]
    before = [counter._value.get() for counter in counters]
    items = [Item(item_id=name, title=name) for name in "abc"]
    found = await writer_of(stage).written(Generate(), (), items, Deadline(5.0))
    assert [bool(origin) for origin in found.origins] == [True, False, False]
    assert [counter._value.get() for counter in counters] == [count + 1 for count in before]


async def test_an_engine_that_is_too_slow_leaves_no_text_and_its_work_is_stopped() -> None:
    answer: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()
    assert (await written(answer, 0.05)).contents == [None]
    assert answer.cancelled()


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_comes_as_the_texts_do_is_not_lost(turns: int) -> None:
    answer: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(written(answer, 5.0))
    await asyncio.sleep(0.01)
    answer.set_result({"text": np.array([msgspec.json.encode(None)], dtype=object)})
    for _ in range(turns):
        await asyncio.sleep(0)
    heard = asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled() == heard


async def test_a_stream_that_hangs_ends_at_the_deadline_without_texts() -> None:
    async def nothing(tensors: Tensors) -> Tensors:
        raise AssertionError("not asked")

    news = writer_of(nothing).writing(Generate(), (), [Item(item_id="a", title="A")], Deadline(0.05))
    (last,) = [one async for one in news]
    assert isinstance(last, Written)
    assert (last.contents, last.missing) == ([None], True)

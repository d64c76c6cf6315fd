"""The writer of a request's texts: what its caller says while the engine answers counts."""

import asyncio

import msgspec
import numpy as np
import pytest

from interest.batch import Tensors
from interest.items import Item
from serve.config import GenerationConfig
from serve.generation.generator import GeneratedText
from serve.schema import Generate
from serve.writer import ContentWriter


async def written(answer: asyncio.Future[Tensors], timeout_s: float) -> list[GeneratedText | None]:
    async def stage(tensors: Tensors) -> Tensors:
        return await answer

    items = [Item(item_id="a", title="A")]
    return await ContentWriter(stage, GenerationConfig()).write(items, (), Generate(), timeout_s)


async def test_an_engine_that_is_too_slow_leaves_no_text_and_its_work_is_stopped() -> None:
    answer: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()
    assert await written(answer, 0.05) == [None]
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

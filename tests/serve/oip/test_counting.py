"""Native calls of stages count as requests to their models: answered, failed or cancelled, streamed or not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
import pytest

from interest.batch import Tensors
from serve.model import Parts
from serve.oip.counting import counted, counted_streaming
from serve.oip.statistics import ModelStatistics, totals

TWO_ROWS = {"text": np.array(["a", "b"], dtype=object)}


def counts(model: str) -> tuple[int, int, int]:
    """(answered, rows, failed)."""
    found = totals()[model, "1"]
    names = ("nv_inference_request_success", "nv_inference_count", "nv_inference_request_failure")
    success, rows, failed = (found.number(name) for name in names)
    return success, rows, failed


async def test_a_call_counts_its_rows_and_a_failure_as_one() -> None:
    async def stage(tensors: Tensors) -> Tensors:
        if len(tensors["text"]) == 1:
            raise ValueError("one")
        return tensors

    call = counted(stage, ModelStatistics("called", "1"))
    assert await call(TWO_ROWS) is TWO_ROWS
    with pytest.raises(ValueError, match="one"):
        await call({"text": TWO_ROWS["text"][:1]})
    assert counts("called") == (1, 2, 1)


async def test_a_call_that_is_cancelled_has_failed() -> None:
    async def stage(tensors: Tensors) -> Tensors:
        await asyncio.Event().wait()
        return tensors

    task = asyncio.ensure_future(counted(stage, ModelStatistics("left", "1"))(TWO_ROWS))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert counts("left") == (0, 0, 1)


async def test_a_stream_counts_when_it_has_ended_and_as_failed_when_its_caller_leaves() -> None:
    async def stream(tensors: Tensors) -> AsyncGenerator[Parts, None]:
        yield [(0, b"one")]
        yield [(1, b"other")]

    call = counted_streaming(stream, ModelStatistics("streamed", "1"))
    assert [parts async for parts in call(TWO_ROWS)] == [[(0, b"one")], [(1, b"other")]]
    assert counts("streamed") == (1, 2, 0)
    async with aclosing(call(TWO_ROWS)) as parts:
        await anext(parts)
    assert counts("streamed") == (1, 2, 1)

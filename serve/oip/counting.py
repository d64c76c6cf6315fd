"""Calls of stages that do not come by the protocol, counted as requests to the model all the same."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from interest.batch import Tensors
from serve.model import Parts, Streaming
from serve.oip.statistics import Execution, Failure, ModelStatistics
from serve.ranker import Stage


def counted(stage: Stage, statistics: ModelStatistics) -> Stage:
    """The stage; each call is one request of as many rows as its tensors have."""

    async def call(tensors: Tensors) -> Tensors:
        with _counting(tensors, statistics):
            return await stage(tensors)

    return call


def counted_streaming(streaming: Streaming, statistics: ModelStatistics) -> Streaming:
    """The same for streamed answers: a stream that its caller closes early was cancelled."""

    async def call(tensors: Tensors) -> AsyncGenerator[Parts, None]:
        with _counting(tensors, statistics):
            async with aclosing(streaming(tensors)) as parts:
                async for part in parts:
                    yield part

    return call


@contextmanager
def _counting(tensors: Tensors, statistics: ModelStatistics) -> Iterator[None]:
    start = time.perf_counter()
    with statistics.pending():
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            statistics.failed(Failure.CANCELED)
            raise
        except Exception:
            statistics.failed(Failure.BACKEND)
            raise
    rows = len(next(iter(tensors.values())))
    statistics.executed(Execution(1, rows, 0.0, 0.0, time.perf_counter() - start, 0.0))

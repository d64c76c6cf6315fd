"""Several growing answers as one: whatever is at hand travels together, and all end with who listens."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")
_Arrival = tuple[int, T] | asyncio.Future[None] | None  # a value, a source that has ended, the end of the time


async def merged(
    sources: Sequence[AsyncGenerator[T, None]], deadline_s: float
) -> AsyncGenerator[list[tuple[int, T]], None]:
    """(number of the source, value) for every value, those that wait together in one list, each source in its order.

    Ends with the last source, or after `deadline_s` seconds with what the sources still give when they are cancelled.
    The first error of a source is raised after the values before it. However it ends, also by being closed, every
    source has ended by then.
    """
    arrivals: asyncio.Queue[_Arrival[T]] = asyncio.Queue()
    running: list[asyncio.Future[None]] = [
        asyncio.ensure_future(_drain(number, source, arrivals)) for number, source in enumerate(sources)
    ]
    for future in running:
        future.add_done_callback(arrivals.put_nowait)
    timer = asyncio.get_running_loop().call_later(deadline_s, arrivals.put_nowait, None)
    left, in_time = len(running), True
    try:
        while left and in_time:
            values: list[tuple[int, T]] = []
            ended: list[asyncio.Future[None]] = []
            for arrival in await _at_hand(arrivals):
                if arrival is None:
                    in_time = False
                elif isinstance(arrival, tuple):
                    values.append(arrival)
                else:
                    ended.append(arrival)
            left -= len(ended)
            if values:
                yield values
            for future in ended:
                future.result()  # raises what its source raised
        if left:
            await _cancelled(running)
            if values := [arrival for arrival in _waiting(arrivals) if isinstance(arrival, tuple)]:
                yield values
    finally:
        timer.cancel()
        await _cancelled(running)


async def _drain(number: int, source: AsyncGenerator[T, None], arrivals: "asyncio.Queue[_Arrival[T]]") -> None:
    async with aclosing(source):
        async for value in source:
            arrivals.put_nowait((number, value))


async def _cancelled(running: "list[asyncio.Future[None]]") -> None:
    for future in running:
        future.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _at_hand(arrivals: "asyncio.Queue[_Arrival[T]]") -> "list[_Arrival[T]]":
    """At least one, and all that have come."""
    return [await arrivals.get(), *_waiting(arrivals)]


def _waiting(arrivals: "asyncio.Queue[_Arrival[T]]") -> "list[_Arrival[T]]":
    return [arrivals.get_nowait() for _ in range(arrivals.qsize())]

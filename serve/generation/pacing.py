"""A growing answer in fewer pieces: one a token costs every process between engine and caller more than the token."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from serve.generation.completion import Piece


async def paced(
    pieces: AsyncGenerator[Piece, None], interval_s: float, clock: Callable[[], float] = time.perf_counter
) -> AsyncGenerator[Piece, None]:
    """The same answer: its first piece at once, then what has come in `interval_s`, and the last piece at once.

    No timer runs: what has come waits for the token after the interval. Closing it closes `pieces`.
    """
    text, due = "", 0.0
    async with aclosing(pieces):
        async for piece in pieces:
            text += piece.text
            now = clock()
            if now >= due or piece.finish_reason is not None:
                yield replace(piece, text=text)
                text, due = "", now + interval_s

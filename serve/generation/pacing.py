"""A growing answer in fewer pieces: one a token costs every process between engine and caller more than the token."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from serve.generation.completion import Piece


async def paced(
    pieces: AsyncGenerator[Piece, None], interval_s: float, clock: Callable[[], float] = time.perf_counter
) -> AsyncGenerator[Piece, None]:
    """The same answer: its first piece at once, then what has come in `interval_s`, and the last piece at once.

    No timer runs: what has come waits for the token after the interval. An error, and the cancellation of who asks for
    the next piece, are raised after what had come before them. Closing it closes `pieces`.
    """
    text, due = "", 0.0
    held: Piece | None = None  # the newest whose text waits in `text`
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                text += piece.text
                held, now = piece, clock()
                if now >= due or piece.finish_reason is not None:
                    held, whole, text, due = None, text, "", now + interval_s
                    yield replace(piece, text=whole)
        except (Exception, asyncio.CancelledError):
            if held is not None:
                yield replace(held, text=text)
            raise

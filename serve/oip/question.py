"""One question to the cluster that many callers have: asked for all of them at once, and not more often than needed."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from interest.errors import AttuneError, NotReady

RECENT_S = 0.1  # so old an answer is good enough for a request; who loads or unloads waits for so long in the end


class Question:
    """`ask` keeps what it hears where its owner looks; one call of it is under way at a time."""

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._asked_at = -math.inf  # time.monotonic() of the question that was answered last
        self._trouble = ""  # the answer, when it was an error

    async def now(self) -> None:
        """Returns when it is known what is so at this moment. Raises what `ask` raises."""
        await self._answered_since(time.monotonic())

    async def recent(self) -> None:
        """Returns when it is known what was so at most `RECENT_S` ago.

        However many names clients make up, the cluster is asked ten times a second. Raises what `ask` raises.
        """
        await self._answered_since(time.monotonic() - RECENT_S)

    async def _answered_since(self, since: float) -> None:
        """Callers that come while one is asking wait for its answer, and ask once more for all of them if need be."""
        async with self._asking:
            if self._asked_at < since:
                await self._ask_now()
            elif self._trouble:
                raise NotReady(self._trouble)

    async def _ask_now(self) -> None:
        asked = time.monotonic()
        try:
            await self._ask()
        except AttuneError as error:
            self._asked_at, self._trouble = asked, error.message
            raise
        self._asked_at, self._trouble = asked, ""  # not before: a caller may leave without an answer

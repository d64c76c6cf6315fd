"""One stream as it comes to a listener, and the call that sends it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable

from interest.errors import NotReady
from serve.model import Parts
from serve.streams.wire import Destination, PartsLost, Sent

LAST_PARTS_S = 5.0  # parts may come so long after the call that sent them has ended


class IncomingStream:
    """One stream of a listener."""

    def __init__(self, destination: Destination, last_parts_s: float) -> None:
        self.destination = destination
        self._last_parts_s = last_parts_s
        self._arrivals: asyncio.Queue[Parts | None] = asyncio.Queue()  # None: the call has ended

    def arrived(self, parts: Parts) -> None:
        self._arrivals.put_nowait(parts)

    async def of(self, call: Awaitable[Sent]) -> AsyncGenerator[Parts, None]:
        """All that this call sends, in order. Closing the iterator cancels the call.

        Raises what the call raises at once; what it says went wrong, after the parts before it; `PartsLost` when parts
        that were sent do not come.
        """
        ended = asyncio.ensure_future(call)
        ended.add_done_callback(lambda _: self._arrivals.put_nowait(None))
        received = 0
        try:
            while not ended.done() or received < ended.result().parts:
                parts = await (self._last() if ended.done() else self._arrivals.get())
                if parts is not None:
                    received += 1
                    yield parts
            sent = ended.result()
            if received > sent.parts:
                raise NotReady(f"a stream of {sent.parts} parts has brought {received}")
            if sent.error is not None:
                raise sent.error
        finally:
            ended.cancel()
            await asyncio.wait([ended])

    async def _last(self) -> Parts | None:
        try:
            async with asyncio.timeout(self._last_parts_s):
                return await self._arrivals.get()
        except TimeoutError as error:
            raise PartsLost("the last parts of a stream were lost on their way") from error

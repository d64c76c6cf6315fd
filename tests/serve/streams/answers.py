"""Growing answers of the tests, and what arrives of them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve.model import Parts
from serve.streams.listener import Listener
from serve.streams.senders import Senders

HOST = "127.0.0.1"


class Answer:
    """Says its words one a turn of the loop; then it ends, fails, or waits for ever."""

    def __init__(self, words: str, then: Exception | str = "end") -> None:
        self.words = words
        self.then = then
        self.begun = self.ended = False

    async def parts(self) -> AsyncGenerator[Parts, None]:
        self.begun = True
        try:
            for word in self.words:
                yield [(0, word.encode())]
                await asyncio.sleep(0)
            if isinstance(self.then, Exception):
                raise self.then
            if self.then == "hang":
                await asyncio.Event().wait()
        finally:
            self.ended = True


async def received(
    listener: Listener, senders: Senders, answer: AsyncGenerator[Parts, None], into: list[bytes]
) -> None:
    """Puts what comes `into` the list."""
    with listener.stream() as stream:
        async with aclosing(stream.of(senders.send(answer, stream.destination))) as growing:
            async for parts in growing:
                into.extend(body for _, body in parts)

"""One end of a connection for calls: frames in, frames out, all of one turn of the loop in one write."""

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import cast

import msgspec

from serve.calls.wire import Body, Frames, Kind, framed
from serve.streams.wire import notice_silence

log = logging.getLogger("attune.calls")


class Channel(asyncio.Protocol, ABC):
    """Who inherits from it says what the greeting, the frames and the end of the connection mean."""

    def __init__(self, greeting_bytes: int) -> None:
        """`greeting_bytes`: what the other end says before its first frame."""
        self._greeting: bytearray | None = bytearray()  # None: it was said, and was right
        self._greeting_bytes = greeting_bytes
        self._frames = Frames()
        self._pieces: list[bytes] = []  # of this turn of the loop
        self._transport: asyncio.Transport

    def close(self) -> None:
        """Send what was said, then end the connection."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one
        notice_silence(transport)

    def data_received(self, data: bytes) -> None:
        try:
            rest: bytes | bytearray = data
            if self._greeting is not None:
                self._greeting += data
                if len(self._greeting) < self._greeting_bytes:
                    return
                greeting, rest = bytes(self._greeting[: self._greeting_bytes]), self._greeting[self._greeting_bytes :]
                self._greeted(greeting)
                self._greeting = None
            for kind, number, body in self._frames.feed(rest):
                self._taken(kind, number, body)
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("the other end of calls of a stage is refused: %s", error)
            self.abort()

    @property
    def closed(self) -> bool:
        """Whether nothing can be said any more."""
        return self._transport.is_closing()

    def _say(self, kind: Kind, number: int, body: Body = ()) -> None:
        """Raises `AttuneError` for a body that is too large."""
        pieces = framed(kind, number, body)
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pieces += pieces

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self.closed:
            self._transport.write(b"".join(pieces))

    @abstractmethod
    def _greeted(self, greeting: bytes) -> None:
        """Raises `ValueError` for a wrong one."""

    @abstractmethod
    def _taken(self, kind: Kind, number: int, body: memoryview) -> None:
        """Raises `ValueError` or `msgspec.MsgspecError` for a frame that makes no sense."""

    @abstractmethod
    def connection_lost(self, exc: Exception | None) -> None: ...

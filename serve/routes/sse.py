"""Server-sent events: a reply that goes on, ends its source when the caller leaves, and tells late errors itself."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

import orjson
from fastapi import Response
from starlette.types import Receive, Scope, Send

from interest.errors import AttuneError
from serve.metrics import IN_FLIGHT
from serve.routes.api import Api
from serve.routes.errors import INTERNAL, error_body
from serve.streaming import Event

E = TypeVar("E")
MEDIA_TYPE = "text/event-stream"

log = logging.getLogger("attune.http")


class EventStream(Response):
    """Sends chunks as they come. However it ends, the source of the chunks is closed by then."""

    media_type = MEDIA_TYPE

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def event_stream(
    events: AsyncGenerator[E, None],
    chunk: Callable[[E], bytes],
    failed: Callable[[AttuneError], bytes],
    end: bytes,
) -> EventStream:
    """Waits for the first event, so that what goes wrong before it is an ordinary error reply.

    What goes wrong later is told by `failed` in place of `end`, which closes a stream that is whole ("": nothing does).
    """
    try:
        first = await anext(events, None)
    except BaseException:
        await events.aclose()
        raise
    return EventStream(_chunks(first, events, chunk, failed, end))


async def permitted(api: Api, events: AsyncGenerator[E, None]) -> AsyncGenerator[E, None]:
    """The same events under a permit, which is held until they end. Raises `Overloaded`."""
    with api.permits.hold(), IN_FLIGHT.track_inprogress():
        async with aclosing(events):
            async for event in events:
                yield event


async def native_events(api: Api, events: AsyncGenerator[Event, None]) -> EventStream:
    """Our own events: an `event:` line and JSON. What goes wrong after the first one ends them as `error`."""
    return await event_stream(permitted(api, events), _native_chunk, _native_error, b"")


def _native_chunk(event: Event) -> bytes:
    body = event.data.model_dump_json(exclude_none=True).encode()
    return f"event: {event.name}\n".encode() + data_chunk(body)


def _native_error(error: AttuneError) -> bytes:
    return b"event: error\n" + error_chunk(error)


def data_chunk(body: bytes) -> bytes:
    """`data: {json}`; the JSON must be one line."""
    return b"data: " + body + b"\n\n"


def error_chunk(error: AttuneError) -> bytes:
    """The error envelope as a last `data:`."""
    return data_chunk(orjson.dumps(error_body(error)))


async def _chunks(
    first: E | None,
    events: AsyncGenerator[E, None],
    chunk: Callable[[E], bytes],
    failed: Callable[[AttuneError], bytes],
    end: bytes,
) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        try:
            if first is not None:
                yield chunk(first)
            async for event in events:
                yield chunk(event)
        except AttuneError as error:
            yield failed(error)
        except Exception as error:  # the status is out already: the caller can only be told in the stream
            log.error("a stream broke off", exc_info=error)
            yield failed(AttuneError(INTERNAL))
        else:
            if end:
                yield end

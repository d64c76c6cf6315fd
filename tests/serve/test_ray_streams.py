"""Streamed calls of a deployment: straight to the listener, or as a stream of Ray Serve's own."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from ray.exceptions import RayActorError

from interest.batch import Tensors
from interest.errors import NotReady
from serve.direct_stream import Destination, Listener, Senders, Sent, Unreachable
from serve.model import Parts
from serve.ray_calls import StreamedCalls

WORDS: list[Parts] = [[(0, b"a")], [(0, b"b"), (1, b"c")]]


class Reply:
    """What a handle's `remote` gives: awaited or iterated over, and cancelled."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __await__(self) -> Any:
        return self._answer.__await__()

    def __aiter__(self) -> Any:
        return self._answer

    def cancel(self) -> None:
        """Its caller is this process."""


class Method:
    def __init__(self, called: Any) -> None:
        self._called = called

    def remote(self, *arguments: Any) -> Reply:
        return Reply(self._called(*arguments))


class Handle:
    """A deployment whose replicas fail so many calls by Ray's error for a death, before or after the first part."""

    def __init__(self, reachable: bool = True, deaths: int = 0, after_parts: int = 0) -> None:
        self.reachable = reachable
        self.deaths = deaths
        self.after_parts = after_parts
        self.calls: list[str] = []
        self.senders = Senders()
        self.stream = Method(self._stream)
        self.stream_to = Method(self._stream_to)

    def options(self, stream: bool) -> "Handle":
        return self

    async def _stream(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        self.calls.append("stream")
        async for parts in self._answer():
            yield parts

    async def _stream_to(self, tensors: Tensors, destination: Destination) -> Sent:
        self.calls.append("stream_to")
        if not self.reachable:
            raise Unreachable("no route")
        return await self.senders.send(self._answer(), destination)

    async def _answer(self) -> AsyncGenerator[Parts, None]:
        dies = self.deaths > 0
        self.deaths -= 1
        for number, parts in enumerate(WORDS):
            if dies and number == self.after_parts:
                await asyncio.sleep(0.05)  # what was sent before it arrives
                raise RayActorError
            yield parts


async def answer(handle: Handle, calls: int = 1, listening: bool = True) -> list[Parts]:
    """The parts of all calls, one after the other."""
    listener = Listener()
    await listener.start("127.0.0.1")
    streaming = StreamedCalls("generator", handle, listener if listening else None)
    try:
        return [parts for _ in range(calls) async for parts in streaming({})]
    finally:
        listener.close()
        handle.senders.close()


async def test_parts_come_to_the_listener() -> None:
    handle = Handle()
    assert await answer(handle) == WORDS
    assert handle.calls == ["stream_to"]


async def test_without_a_listener_they_come_by_ray() -> None:
    handle = Handle()
    assert await answer(handle, listening=False) == WORDS
    assert handle.calls == ["stream"]


async def test_once_a_replica_cannot_connect_all_come_by_ray() -> None:
    handle = Handle(reachable=False)
    assert await answer(handle, calls=2) == 2 * WORDS
    assert handle.calls == ["stream_to", "stream", "stream"]


@pytest.mark.parametrize("listening", [True, False])
async def test_a_replica_that_dies_before_it_says_anything_is_replaced(listening: bool) -> None:
    handle = Handle(deaths=1)
    assert await answer(handle, listening=listening) == WORDS
    assert len(handle.calls) == 2


@pytest.mark.parametrize(("deaths", "after_parts"), [(2, 0), (1, 1)])
@pytest.mark.parametrize("listening", [True, False])
async def test_one_that_dies_later_or_twice_is_not(deaths: int, after_parts: int, listening: bool) -> None:
    with pytest.raises(NotReady, match="died"):
        await answer(Handle(deaths=deaths, after_parts=after_parts), listening=listening)

"""Streamed calls of a deployment: straight to the listener, or as a stream of Ray Serve's own."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from ray.exceptions import RayActorError

from interest.batch import Tensors
from interest.errors import NotReady
from serve import ray_streams
from serve.model import Parts
from serve.ray_streams import UNREACHABLE_S, StreamedCalls, own_listener
from serve.streams.listener import Listener
from serve.streams.senders import Senders
from serve.streams.wire import Destination, PartsLost, Sent, Unreachable

WORDS: list[Parts] = [[(0, b"a")], [(0, b"b"), (1, b"c")]]


class Reply:
    """What a streaming handle's `remote` gives: iterated over, and cancelled."""

    def __init__(self, answer: AsyncGenerator[Any, None]) -> None:
        self._answer = answer
        self.cancelled = False

    def __aiter__(self) -> Any:
        return self._answer

    def cancel(self) -> None:
        self.cancelled = True


class Method:
    def __init__(self, handle: "Handle", called: Any) -> None:
        self._handle = handle
        self._called = called

    def remote(self, *arguments: Any) -> Reply:
        self._handle.replies.append(Reply(self._called(*arguments)))
        return self._handle.replies[-1]


class Handle:
    """A deployment whose replicas fail so many calls by Ray's error for a death, before or after the first part."""

    def __init__(
        self, deaths: int = 0, after_parts: int = 0, fault: Exception | None = None, hangs: bool = False
    ) -> None:
        """`fault`: of calls with a destination, instead of their answer, or after so many parts of it."""
        self.deaths = deaths
        self.after_parts = after_parts
        self.fault = fault
        self.hangs = hangs
        self.calls: list[str] = []
        self.replies: list[Reply] = []
        self.senders = Senders()
        self.stream = Method(self, self._stream)
        self.stream_to = Method(self, self._stream_to)

    def options(self, stream: bool) -> "Handle":
        assert stream
        return self

    async def _stream(self, tensors: Tensors) -> AsyncGenerator[Parts, None]:
        self.calls.append("stream")
        async for parts in self._answer():
            yield parts

    async def _stream_to(self, tensors: Tensors, destination: Destination) -> AsyncGenerator[Sent, None]:
        self.calls.append("stream_to")
        if self.fault is not None:
            if self.after_parts:
                await self.senders.send(self._answer(), destination)
                await asyncio.sleep(0.05)  # what was sent before it arrives
            raise self.fault
        yield await self.senders.send(self._answer(), destination)

    async def _answer(self) -> AsyncGenerator[Parts, None]:
        dies = self.deaths > 0
        self.deaths -= 1
        for number, parts in enumerate(WORDS):
            if dies and number == self.after_parts:
                await asyncio.sleep(0.05)  # what was sent before it arrives
                raise RayActorError
            yield parts
            if self.hangs:
                await asyncio.Event().wait()


class Calls:
    """`StreamedCalls` of a handle, at a time of the test's."""

    def __init__(self, handle: Handle, listening: bool = True) -> None:
        self.handle = handle
        self.now = 0.0
        self._listener = Listener() if listening else None

    async def __aenter__(self) -> "Calls":
        if self._listener is not None:
            await self._listener.start("127.0.0.1")
        self.streaming = StreamedCalls("generator", self.handle, self._listener, lambda: self.now)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._listener is not None:
            self._listener.close()
        self.handle.senders.close()

    async def answer(self) -> list[Parts]:
        return [parts async for parts in self.streaming({})]

    async def ways(self) -> list[str]:
        """Which calls one more answer takes."""
        before = len(self.handle.calls)
        assert await self.answer() == WORDS
        return self.handle.calls[before:]


async def test_parts_come_to_the_listener() -> None:
    async with Calls(Handle()) as calls:
        assert await calls.ways() == ["stream_to"]


async def test_without_a_listener_they_come_by_ray() -> None:
    async with Calls(Handle(), listening=False) as calls:
        assert await calls.ways() == ["stream"]


@pytest.mark.parametrize("fault", [Unreachable("no route"), PartsLost("on their way")])
async def test_while_parts_do_not_come_all_come_by_ray_and_one_call_at_a_time_tries(fault: Exception) -> None:
    handle = Handle(fault=fault)
    async with Calls(handle) as calls:
        assert await calls.ways() == ["stream_to", "stream"]
        calls.now = UNREACHABLE_S - 1
        assert await calls.ways() == ["stream"]
        calls.now = UNREACHABLE_S + 1
        both = await asyncio.gather(calls.answer(), calls.answer())
        assert list(both) == [WORDS, WORDS]
        assert sorted(handle.calls[3:]) == ["stream", "stream", "stream_to"]
        assert await calls.ways() == ["stream"]


async def test_once_a_try_succeeds_all_come_to_the_listener_again() -> None:
    handle = Handle(fault=Unreachable("no route"))
    async with Calls(handle) as calls:
        await calls.ways()
        handle.fault = None
        assert await calls.ways() == ["stream"]
        calls.now = UNREACHABLE_S + 1
        assert await calls.ways() == ["stream_to"]
        assert await calls.ways() == ["stream_to"]


async def test_parts_lost_after_the_first_ones_are_the_callers_error_and_the_next_answers_come_by_ray() -> None:
    async with Calls(Handle(fault=PartsLost("on their way"), after_parts=1)) as calls:
        with pytest.raises(PartsLost):
            await calls.answer()
        assert calls.handle.calls == ["stream_to"]
        assert await calls.ways() == ["stream"]


@pytest.mark.parametrize("listening", [True, False])
async def test_a_replica_that_dies_before_it_says_anything_is_replaced(listening: bool) -> None:
    async with Calls(Handle(deaths=1), listening) as calls:
        assert len(await calls.ways()) == 2


@pytest.mark.parametrize(("deaths", "after_parts"), [(2, 0), (1, 1)])
@pytest.mark.parametrize("listening", [True, False])
async def test_one_that_dies_later_or_twice_is_not(deaths: int, after_parts: int, listening: bool) -> None:
    async with Calls(Handle(deaths, after_parts), listening) as calls:
        with pytest.raises(NotReady, match="died"):
            await calls.answer()


@pytest.mark.parametrize("listening", [True, False])
async def test_who_leaves_cancels_the_call(listening: bool) -> None:
    async with Calls(Handle(hangs=True), listening) as calls:
        growing = calls.streaming({})
        assert await anext(growing) == WORDS[0]
        assert not calls.handle.replies[0].cancelled
        await growing.aclose()
        assert [reply.cancelled for reply in calls.handle.replies] == [True]


async def test_a_listener_is_at_the_address_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setattr(ray_streams, "get_node_ip_address", lambda: "127.0.0.1")
    listener = await own_listener()
    assert listener is not None
    with listener.stream() as stream:
        assert stream.destination.host == "127.0.0.1"
    listener.close()


async def test_where_ray_encrypts_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_streams, "get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    assert await own_listener() is None


async def test_an_address_that_cannot_be_listened_at_is_told_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setattr(ray_streams, "get_node_ip_address", lambda: "192.0.2.1")  # of no machine: RFC 5737
    assert await own_listener() is None
    assert "nothing listens for them" in caplog.text

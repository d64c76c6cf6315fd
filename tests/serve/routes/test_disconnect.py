"""A caller who leaves stops their own work, and nobody else's."""

import asyncio
from typing import Any

import pytest

from serve.routes.disconnect import AFTER_S, CancelOnDisconnect

SCOPE = {"type": "http"}
ANSWER = {"type": "http.response.body", "body": b"answer"}


class Client:
    """Sends one body, then leaves when told to."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: list[Any] = []
        self._body_sent = False

    async def receive(self) -> Any:
        if not self._body_sent:
            self._body_sent = True
            return {"type": "http.request", "body": b"x", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def test_leaving_cancels_what_the_application_awaits() -> None:
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    client = Client()
    request = asyncio.create_task(CancelOnDisconnect(application)(SCOPE, client.receive, client.send))
    await started.wait()
    client.left.set()
    async with asyncio.timeout(5):
        await request
    assert cancelled.is_set()
    assert client.sent == []


async def test_who_stays_gets_the_answer_and_later_asks_of_the_connection_wait() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"x"
        asking = asyncio.create_task(receive())
        await asyncio.sleep(0)
        assert not asking.done()
        asking.cancel()
        await send(ANSWER)

    client = Client()
    await CancelOnDisconnect(application)(SCOPE, client.receive, client.send)
    assert client.sent == [ANSWER]


async def test_who_leaves_with_the_answer_does_not_stop_what_comes_after_it() -> None:
    ended = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        client.left.set()
        await send(ANSWER)
        await asyncio.sleep(0.01)
        ended.set()

    client = Client()
    await CancelOnDisconnect(application)(SCOPE, client.receive, client.send)
    await asyncio.sleep(0)  # where a cancellation that came too late would show
    assert ended.is_set()


async def test_a_cancellation_from_elsewhere_goes_on() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(60)

    client = Client()
    request = asyncio.create_task(CancelOnDisconnect(application)(SCOPE, client.receive, client.send))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_an_error_of_the_application_is_raised_as_it_is() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    client = Client()
    with pytest.raises(ZeroDivisionError):
        await CancelOnDisconnect(application)(SCOPE, client.receive, client.send)


async def test_callers_who_come_one_after_the_other_are_all_watched_and_an_answered_one_is_not() -> None:
    quick, first, second = Client(), Client(), Client()
    asked = 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "quick":
            await send(ANSWER)
        else:
            await asyncio.sleep(60)

    async def receive_of_quick() -> Any:
        nonlocal asked
        asked += 1
        return await quick.receive()

    watched = CancelOnDisconnect(application)
    requests = []
    for client in (first, second):
        requests.append(asyncio.create_task(watched({**SCOPE, "path": "slow"}, client.receive, client.send)))
        await watched({**SCOPE, "path": "quick"}, receive_of_quick, quick.send)
        await asyncio.sleep(AFTER_S / 2)
        quick = Client()
    first.left.set()
    second.left.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*requests)
    assert asked == 2  # once for each body, never for a disconnect

"""The two ends of streams."""

from collections.abc import AsyncIterator

import pytest_asyncio

from serve.streams.listener import Listener
from serve.streams.senders import Senders
from tests.serve.streams.answers import HOST


@pytest_asyncio.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    await listener.start(HOST)
    yield listener
    listener.close()


@pytest_asyncio.fixture
async def senders() -> AsyncIterator[Senders]:
    senders = Senders()
    yield senders
    senders.close()

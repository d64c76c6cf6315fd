"""Admission: a fixed number of permits, and a Retry-After computed from how fast they come back."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TypeVar

from interest.errors import DeadlineExceeded, Overloaded

MIN_RETRY_AFTER_S, MAX_RETRY_AFTER_S = 0.05, 30.0
T = TypeVar("T")


class Permits:
    """At most `limit` requests in flight; a further one is refused at once instead of queueing without bound."""

    def __init__(self, limit: int, window: int = 64) -> None:
        self.limit = limit
        self.in_flight = 0
        self._released_at: deque[float] = deque(maxlen=window)  # perf_counter seconds

    @contextmanager
    def hold(self, permits: int = 1) -> Iterator[None]:
        """Raises `Overloaded` when so many are not free. Who wants more than there are is let in alone."""
        taken = max(1, min(permits, self.limit))
        if self.in_flight + taken > self.limit:
            raise Overloaded(f"{self.in_flight} requests in flight: the limit is {self.limit}", self.retry_after_s())
        self.in_flight += taken
        try:
            yield
        finally:
            self.in_flight -= taken
            self._released_at.extend([time.perf_counter()] * taken)

    def retry_after_s(self) -> float:
        """Seconds until about a tenth of the permits will be free at the rate at which they came back lately."""
        if len(self._released_at) < 2:
            return 1.0
        elapsed = time.perf_counter() - self._released_at[0]
        drain_rate = (len(self._released_at) - 1) / max(elapsed, 1e-6)  # permits per second
        wait = max(1.0, self.limit / 10) / drain_rate
        return min(max(wait, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)


class Deadline:
    """The instant a request must be answered by; on the wire it is `remaining_ms`, re-anchored on arrival."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.expires = time.perf_counter() + timeout_s  # perf_counter seconds

    def remaining_s(self) -> float:
        return self.expires - time.perf_counter()

    def share_s(self, fraction: float) -> float:
        """Seconds a stage may take when it may use this fraction of the whole; at most what is left."""
        return min(self.remaining_s(), self.timeout_s * fraction)

    def check(self, what: str, margin_s: float = 0.0) -> None:
        """Raises `DeadlineExceeded` when no more than `margin_s` is left."""
        if self.remaining_s() <= margin_s:
            raise DeadlineExceeded(f"{what}: the deadline of {self.timeout_s * 1000:.0f} ms has passed")


async def in_time(messages: AsyncGenerator[T, None], deadline: Deadline) -> AsyncGenerator[T, None]:
    """The same messages. Raises `TimeoutError` when the next one is not there by the deadline."""
    async with aclosing(messages):
        while True:
            try:
                async with asyncio.timeout(deadline.remaining_s()):
                    message = await anext(messages)
            except StopAsyncIteration:
                return
            yield message

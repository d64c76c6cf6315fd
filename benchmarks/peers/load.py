"""The load generator: a process of its own that keeps so many connections busy, and looks into every reply.

    python -m benchmarks.peers.load < plan.json > outcome.json

A closed loop over plain sockets: each connection sends its next request as soon as its reply is whole, so that all
servers meet the same client, and one that costs little: what it spends is taken from the servers on a small machine.
Nothing but the standard library is imported, for the same reason.
"""

import json
import os
import select
import socket
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

TIMEOUT_S = 60.0
ERRORS_KEPT = 3
CLOSED_MOST = 20  # of one connection; more is no accident
OK = b"HTTP/1.1 200"
LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it goes over the wire, and bytes that its reply must hold."""

    request: bytes
    expected: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """`warm_s` seconds that are not counted, then `seconds` that are."""

    host: str
    port: int
    connections: int
    warm_s: float
    seconds: float
    exchanges: Sequence[Exchange]  # sent in turn

    def to_json(self) -> str:
        raw = asdict(self)
        raw["exchanges"] = [
            [b64encode(one.request).decode(), b64encode(one.expected).decode()] for one in self.exchanges
        ]
        return json.dumps(raw)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        raw: dict[str, Any] = json.loads(text)
        raw["exchanges"] = [Exchange(b64decode(request), b64decode(expected)) for request, expected in raw["exchanges"]]
        return cls(**raw)


@dataclass(slots=True)
class Outcome:
    """What a plan met. Latencies in milliseconds; `client_cpu` is the share of one core that the client itself took."""

    requests: int = 0
    warm_requests: int = 0
    seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    client_cpu: float = 0.0
    errors: int = 0
    closed: int = 0  # kept connections that the server closed; the request was made again on a new one
    examples: list[str] = field(default_factory=list)  # of the errors


class _Connection:
    """One socket and the reply that is coming in on it."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._address = (plan.host, plan.port)
        self._socket = self._connected()
        self.closed = 0  # times that the server closed it before it began to answer
        self._exchanges = plan.exchanges
        self._turn = number
        self._step = plan.connections
        self._received = b""
        self._whole = 0  # bytes of the reply, 0 as long as its head is not there
        self.sent_at = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self) -> None:
        self._turn += self._step
        self._received, self._whole = b"", 0
        self.sent_at = time.perf_counter()
        self._socket.sendall(self._exchanges[self._turn % len(self._exchanges)].request)

    def receive(self) -> bool:
        """Whether the reply is whole. Raises `ConnectionError` when the server hangs up in the middle of it."""
        part = self._socket.recv(1 << 18)
        if not part:
            if self._received or self.closed == CLOSED_MOST:
                raise ConnectionError(f"the server closed the connection after {self._received[:200]!r}")
            self._again()
            return False
        self._received = self._received + part if self._received else part
        if not self._whole:
            self._whole = _length(self._received)
        return 0 < self._whole <= len(self._received)

    def problem(self) -> str | None:
        """What is wrong with the reply."""
        if not self._received.startswith(OK):
            return f"not 200: {self._received[:300]!r}"
        expected = self._exchanges[self._turn % len(self._exchanges)].expected
        if expected not in self._received:
            return f"{expected[:100]!r} is not in {self._received[:1000]!r}"
        return None

    def close(self) -> None:
        self._socket.close()

    def _connected(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=TIMEOUT_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def _again(self) -> None:
        """The same request on a new connection under the old number: a kept one may be closed at any time."""
        self.closed += 1
        with self._connected() as new:
            os.dup2(new.fileno(), self._socket.fileno())
        self._socket.sendall(self._exchanges[self._turn % len(self._exchanges)].request)


def drive(plan: Plan) -> Outcome:
    """Raises `TimeoutError` when no reply comes for a minute, `ConnectionError` when the server hangs up."""
    connections = [_Connection(plan, number) for number in range(plan.connections)]
    try:
        return _driven(plan, connections)
    finally:
        for connection in connections:
            connection.close()


def _driven(plan: Plan, connections: Sequence[_Connection]) -> Outcome:
    outcome, latencies = Outcome(), list[float]()
    by_number = {connection.fileno(): connection for connection in connections}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    counted = time.perf_counter() + plan.warm_s
    ends = counted + plan.seconds
    for connection in connections:
        connection.send()
    cpu, now = 0.0, 0.0
    while now < ends:
        ready = poll.poll(TIMEOUT_S)
        if not ready:
            raise TimeoutError(f"no reply for {TIMEOUT_S:.0f} s")
        for number, _ in ready:
            connection = by_number[number]
            closed = connection.closed
            if not connection.receive():
                if connection.closed > closed:
                    poll.register(number, select.EPOLLIN)  # it is another socket now
                continue
            now = time.perf_counter()
            _check(connection, outcome)
            if now >= counted:
                cpu = cpu or time.process_time()
                latencies.append(now - connection.sent_at)
            else:
                outcome.warm_requests += 1
            connection.send()
    poll.close()
    outcome.closed = sum(connection.closed for connection in connections)
    outcome.client_cpu = (time.process_time() - cpu) / plan.seconds
    return _summed(outcome, latencies, now - counted)


def _check(connection: _Connection, outcome: Outcome) -> None:
    problem = connection.problem()
    if problem is not None:
        outcome.errors += 1
        if len(outcome.examples) < ERRORS_KEPT:
            outcome.examples.append(problem)


def _summed(outcome: Outcome, latencies: list[float], seconds: float) -> Outcome:
    latencies.sort()
    outcome.requests, outcome.seconds = len(latencies), seconds
    if latencies:
        outcome.p50_ms = 1000 * latencies[len(latencies) // 2]
        outcome.p99_ms = 1000 * latencies[int(0.99 * (len(latencies) - 1))]
    return outcome


def _length(received: bytes) -> int:
    """Bytes of the whole reply, 0 when its head is not there yet. Raises `ValueError` for one without a length."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = received[:end].lower()
    at = head.find(LENGTH)
    if at < 0:
        raise ValueError(f"a reply without Content-Length: {head!r}")
    return end + 4 + int(head[at + len(LENGTH) :].split(b"\r", 1)[0])


if __name__ == "__main__":
    json.dump(asdict(drive(Plan.from_json(sys.stdin.read()))), sys.stdout)

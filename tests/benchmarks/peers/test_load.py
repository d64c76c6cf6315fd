"""The load generator counts what it got, and looks into it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from benchmarks.peers.asking import by_number, post, recommend
from benchmarks.peers.load import Outcome, Plan, drive

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


@contextmanager
def answering(reply: Callable[[int], bytes]) -> Iterator[int]:
    """A server of one connection after the other; `reply`: to its n-th request, b"" to hang up."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with client, suppress(OSError):  # whoever has enough leaves
                number = 0
                while client.recv(1 << 16) and (answer := reply(number)):
                    number += 1
                    client.sendall(answer[:10])
                    client.sendall(answer[10:])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def driven(reply: Callable[[int], bytes], seconds: float = 0.2) -> Outcome:
    with answering(reply) as port:
        plan = Plan("127.0.0.1", port, 1, 0.0, seconds, [post("/", b"{}", b"hello", {})])
        return drive(Plan.from_json(plan.to_json()))


def test_good_replies_are_counted_with_their_latencies() -> None:
    outcome = driven(lambda _: GOOD)
    assert outcome.errors == 0
    assert outcome.requests > 1
    assert 0 < outcome.p50_ms <= outcome.p99_ms


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (GOOD.replace(b"200 OK", b"503 No"), "not 200"),
        (GOOD.replace(b"hello", b"jello"), "is not in"),
    ],
)
def test_a_wrong_reply_is_an_error_with_an_example(bad: bytes, said: str) -> None:
    outcome = driven(lambda number: bad if number % 2 else GOOD, seconds=0.5)
    assert 0 < outcome.errors < outcome.requests
    assert said in outcome.examples[0]


def test_a_kept_connection_that_the_server_closes_is_no_error_and_is_counted() -> None:
    asked = 0

    def reply(_: int) -> bytes:
        nonlocal asked
        asked += 1
        return b"" if asked % 3 == 0 and asked < 30 else GOOD

    outcome = driven(reply, seconds=0.5)
    assert outcome.errors == 0
    assert outcome.closed == min(asked // 3, 9) > 0


def test_a_server_that_only_hangs_up_ends_the_run() -> None:
    with pytest.raises(ConnectionError, match="closed the connection"):
        driven(lambda _: b"", seconds=5)


def test_a_reply_without_a_length_ends_the_run() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        driven(lambda _: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", seconds=5)


def test_requests_are_the_protocols_in_json_and_in_binary() -> None:
    asked = recommend("u1", 10, ["a", "b"], "json")
    assert asked.request.startswith(b"POST /v2/models/recommend/infer HTTP/1.1\r\n")
    assert b'"data":["u1"]' in asked.request
    assert asked.expected == b'["a","b"]'
    binary = recommend("u1", 10, ["a", "b"], "binary")
    assert binary.request.endswith(b"\2\0\0\0u1\x0a\0\0\0\0\0\0\0")
    assert binary.expected == b"\1\0\0\0a\1\0\0\0b"
    assert by_number(3, 10, [7], "binary").expected == b"\7\0\0\0\0\0\0\0"

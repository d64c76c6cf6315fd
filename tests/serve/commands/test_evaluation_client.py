"""What an evaluation asks of a server: degraded replies are asked for again, and never measured."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from interest.errors import AttuneError
from serve.commands.evaluation_client import TRIES, USERS_AT_ONCE, Answers, ask

USERS = [f"u{number}" for number in range(USERS_AT_ONCE + 1)]


@contextmanager
def server(degraded: int) -> Iterator[tuple[str, list[list[str]]]]:
    """Its URL, and the users of each call; so many times the last user's reply is popular items, for lack of time."""
    calls: list[list[str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            users = [request["user_id"] for request in body["requests"]]
            calls.append(users)
            late = USERS[-1] in users and sum(USERS[-1] in call for call in calls) <= degraded
            told = {"degraded": ["deadline"], "tier": "popular"} if late else {"degraded": [], "tier": "full"}
            text = json.dumps({"data": [{**told, "data": [{"item_id": f"of {user}"}]} for user in users]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", calls
        finally:
            running.shutdown()
            thread.join()


def asked(url: str) -> Answers:
    return ask(url, [{"user_id": user} for user in USERS], "lists", lambda what, done, total: None)


def test_a_call_with_a_degraded_reply_is_made_again_and_no_other() -> None:
    with server(degraded=TRIES - 1) as (url, calls):
        found = asked(url)
    assert found.lists == [[f"of {user}"] for user in USERS]
    assert found.tiers == {"full": len(USERS)}
    assert sorted(map(len, calls)) == [1] * TRIES + [USERS_AT_ONCE]


def test_a_reply_that_stays_degraded_is_named_and_not_measured() -> None:
    with server(degraded=TRIES) as (url, calls), pytest.raises(AttuneError, match=f"user {USERS[-1]}: degraded"):
        asked(url)
    assert len(calls) == TRIES + 1

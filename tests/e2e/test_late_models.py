"""Models loaded after the start, on a server of their own: under load, deployed anew, and left by replicas that die."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from serve.commands.server import wait_until_ready
from tests.e2e.waiting import eventually
from tests.serve.oip.folders import SCALER, write_config, write_scaler, write_version

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(580)]

SLOW = "import time\n" + SCALER.replace(
    "def infer(self, tensors):", "def infer(self, tensors):\n        time.sleep(0.02)"
)
ASKED = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 1]}]}
STUCK = "import time\nfrom pathlib import Path\n\nwhile not Path({factor!r}).exists():\n    time.sleep(0.05)\n"
CALLERS, PAUSE_S = 4, 0.01  # without a pause they take the cores that new replicas start on
PATIENCE_S = 240.0  # for a server to start, or to be deployed anew


@dataclass(frozen=True, slots=True)
class Server:
    """A server of this test's own."""

    url: str
    models: Path
    process: "subprocess.Popen[str]"
    log: Path  # its standard error

    def said(self) -> str:
        """What it says next; lines of Ray's own may come between. One that says nothing for too long is killed."""
        assert self.process.stdout is not None
        limit = threading.Timer(PATIENCE_S, killed, [self.process])
        limit.start()
        try:
            for line in self.process.stdout:
                if line.startswith("attune "):
                    return line.split()[1]
        finally:
            limit.cancel()
        raise AssertionError(f"the server has ended, or said nothing for {PATIENCE_S:.0f} s:\n{self.log.read_text()}")

    def deploy(self) -> None:
        """Anew, of what the repository holds now; returns when every replica runs."""
        assert self.process.stdin is not None
        self.process.stdin.write("deploy\n")
        self.process.stdin.flush()
        assert self.said() == "deployed"

    def change(self, what: str, model: str, **parameters: str) -> None:
        url = f"{self.url}/v2/repository/models/{model}/{what}"
        answer = httpx.post(url, json={"parameters": parameters}, timeout=120)
        assert answer.status_code == 200, answer.text

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The Ray processes of one deployment, by their title."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline())
                if title.startswith("ray::ServeReplica") and f":{deployment}" in title:
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def server(home: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    write_scaler(home.folder / "models", name="first")
    command = [sys.executable, "-m", "tests.e2e.served_apart", str(home.folder)]
    log = tmp_path_factory.mktemp("late") / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        starting = Server("", home.folder / "models", process, log)
        yield replace(starting, url=starting.said())
    finally:
        ended(process)


def killed(process: "subprocess.Popen[str]") -> None:
    """With all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        one = psutil.Process(process.pid)
        for each in (one, *one.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def ended(process: "subprocess.Popen[str]") -> None:
    """It ends with its input, or is killed."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        killed(process)
        process.wait()
        raise
    finally:
        process.stdout.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it was sent, and its answer's number, or the status and the text of an error."""

    sent: float  # time.monotonic()
    answer: str


def asked_during(server: Server, model: str, change: Callable[[], object]) -> list[Asked]:
    """What callers get meanwhile; each request has a connection of its own, which nobody else may close."""
    stop = threading.Event()

    def asking() -> list[Asked]:
        mine = []
        with httpx.Client(timeout=60, headers={"Connection": "close"}) as client:
            while not stop.wait(PAUSE_S):
                sent = time.monotonic()
                try:
                    got = client.post(f"{server.url}/v2/models/{model}/infer", json=ASKED)
                except httpx.HTTPError as error:
                    mine.append(Asked(sent, repr(error)))
                    continue
                good = got.status_code == 200
                answer = str(got.json()["outputs"][0]["data"][0]) if good else f"{got.status_code} {got.text}"
                mine.append(Asked(sent, answer))
        return mine

    with ThreadPoolExecutor(CALLERS) as callers:
        asked = [callers.submit(asking) for _ in range(CALLERS)]
        try:
            time.sleep(1)
            change()
            time.sleep(1)
        finally:
            stop.set()
    return [one for each in asked for one in each.result()]


def counted(asked: list[Asked]) -> Counter[str]:
    return Counter(one.answer for one in asked)


def test_no_request_is_lost_when_a_loaded_model_is_loaded_again(server: Server) -> None:
    folder = write_scaler(server.models, name="late")
    write_version(folder, "1", 2, SLOW)
    server.change("load", "late")

    def load_again() -> None:
        for version in range(2, 5):
            write_version(folder, str(version), version, SLOW)
            write_config(folder, max_batch_size=version)
            server.change("load", "late")

    answers = counted(asked_during(server, "late", load_again))
    assert set(answers) <= {"2.0", "3.0", "4.0"}, answers
    assert answers["4.0"] > 0


def test_accepted_requests_are_answered_and_new_ones_refused_when_it_is_unloaded(server: Server) -> None:
    write_version(write_scaler(server.models, name="leaving"), "1", 2, SLOW)
    server.change("load", "leaving")
    begun: list[float] = []

    def unload() -> None:
        begun.append(time.monotonic())
        server.change("unload", "leaving")

    asked = asked_during(server, "leaving", unload)
    refused = [one for one in asked if one.answer != "2.0"]
    assert refused
    assert len(refused) < len(asked)
    for one in refused:
        assert one.answer.startswith("404 "), counted(asked)
        assert "'leaving' is not found" in one.answer, counted(asked)
        assert one.sent > begun[0], "it was accepted before"


def test_no_request_is_lost_when_attune_is_deployed_anew_with_the_folder(server: Server) -> None:
    write_version(write_scaler(server.models, name="again"), "1", 2, SLOW)
    server.change("load", "again", config=json.dumps({"parameters": {"unit": {"string_value": "10"}}}))
    (before,) = server.replicas("model_again")
    answers = counted(asked_during(server, "again", server.deploy))
    assert set(answers) == {"20.0"}, "the config that was given holds until the next load"
    assert eventually(lambda: not before.is_running(), 30)
    assert len(server.replicas("model_again")) == 1


def test_a_model_that_was_unloaded_stays_so_when_its_replica_dies(server: Server) -> None:
    assert set(counted(asked_during(server, "first", lambda: None))) == {"2.0"}
    server.change("unload", "first")
    (before,) = server.replicas("model_first")
    before.kill()
    assert eventually(lambda: not before.is_running() and len(server.replicas("model_first")) == 1, 60)
    asked = counted(asked_during(server, "first", lambda: time.sleep(3)))
    assert all(answer.startswith("404 ") for answer in asked), asked
    server.change("load", "first")
    assert set(counted(asked_during(server, "first", lambda: None))) == {"2.0"}


def test_what_ingress_replicas_had_begun_to_load_when_they_died_is_ended(server: Server, tmp_path: Path) -> None:
    folder = write_scaler(server.models, name="stuck")
    (folder / "1" / "model.py").write_text(STUCK.format(factor=str(tmp_path / "go")))
    with ThreadPoolExecutor(1) as caller:
        loading = caller.submit(server.change, "load", "stuck")
        assert eventually(lambda: len(server.replicas("model_stuck")) == 1, 60)
        for process in server.replicas("ingress"):
            process.kill()
        assert loading.exception() is not None
    wait_until_ready(server.url)
    (tmp_path / "go").touch()
    assert eventually(lambda: server.replicas("model_stuck") == [], 60)
    write_version(folder, "1", 2)
    server.change("load", "stuck")
    assert len(server.replicas("model_stuck")) == 1

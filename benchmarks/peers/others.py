"""Other servers with the trivial stages, asked in JSON: each a process of its own, in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import httpx
from rich.console import Console

from benchmarks.peers import trivial
from benchmarks.peers.asking import Body, recommend
from benchmarks.peers.environments import LITSERVE, MLSERVER, Peer, PeerMissing, child, environment
from benchmarks.peers.load import Exchange
from benchmarks.peers.measuring import Served
from benchmarks.peers.servers import Exchanges, tree
from serve.ray_cluster import free_port

HERE = Path(__file__).parent
ITEM_IDS = [f"item-{place}" for place in range(trivial.ITEMS)]
FILES = ("litserve_app.py", "mlserver_model.py")
START_S = 120.0
Command = Callable[[Path, int, Path], list[str]]  # of an environment, a port and a folder that holds items.json


@contextmanager
def _started(name: str, peer: Peer | None, command: Command, console: Console) -> Iterator[tuple[Served, Exchanges]]:
    """Raises `PeerMissing` when it does not install or does not answer."""
    folder = environment(console, peer) if peer else Path(sys.prefix)
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "items.json").write_text(json.dumps(ITEM_IDS))
        for file in ("trivial.py", *FILES):  # alone there: names of modules beside them could hide packages
            shutil.copy(HERE / file, work)
        port, log = free_port(), Path(work) / "log"
        where = {**os.environ, "PYTHONPATH": os.pathsep.join((work, str(Path.cwd()))), "OMP_NUM_THREADS": "1"}
        where["ITEMS"] = str(Path(work) / "items.json")
        with child(command(folder, port, Path(work)), where, log) as process:
            try:
                _wait(process, port)
            except TimeoutError as error:
                said = "\n".join(log.read_text().splitlines()[-10:])
                raise PeerMissing(f"{name} does not answer here: {error}\n{said}") from error
            yield Served(name, f"127.0.0.1:{port}", lambda: tree(process.pid)), _exchanges


def _exchanges(server: str, body: Body) -> list[Exchange]:
    """None in binary: not all of them know it."""
    names = [trivial.user_name(number) for number in range(trivial.USERS)]
    expected = [[ITEM_IDS[place] for place in trivial.answer([name])[0][0]] for name in names]
    asked = zip(names, expected, strict=True)
    return [recommend(name, trivial.COUNT, row, body) for name, row in asked] if body == "json" else []


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Until it answers what it must. Raises `TimeoutError` when it ends before, or takes too long."""
    exchange = _exchanges("", "json")[1]
    head, _, body = exchange.request.partition(b"\r\n\r\n")
    url, give_up = f"http://127.0.0.1:{port}{head.split()[1].decode()}", time.perf_counter() + START_S
    said = "no answer"
    while process.poll() is None and time.perf_counter() < give_up:
        try:
            answer = httpx.post(url, content=body, headers={"Content-Type": "application/json"}, timeout=10)
            if answer.status_code == 200 and exchange.expected in answer.content:
                return
            said = f"{answer.status_code} {answer.text[:300]}"
        except httpx.HTTPError as error:
            said = str(error)
        time.sleep(0.2)
    raise TimeoutError(said)


def _litserve(folder: Path, port: int, work: Path) -> list[str]:
    return [str(folder / "bin/python"), str(work / "litserve_app.py"), str(port), str(work / "items.json")]


def _mlserver(folder: Path, port: int, work: Path) -> list[str]:
    # In its own process: its workers do not start with the uvloop that it installs.
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    (work / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    model = {"name": "recommend", "implementation": "mlserver_model.Recommend"}
    (work / "model-settings.json").write_text(json.dumps(model))
    return [str(folder / "bin/mlserver"), "start", str(work)]


def _ray_naive(folder: Path, port: int, work: Path) -> list[str]:
    return [str(folder / "bin/python"), "-m", "benchmarks.peers.ray_naive", str(port), str(work / "items.json")]


_KINDS: Sequence[tuple[str, Peer | None, Command]] = (
    ("litserve", LITSERVE, _litserve),
    ("mlserver", MLSERVER, _mlserver),
    ("ray serve, a call a stage", None, _ray_naive),
)
OTHERS: dict[str, Callable[[Console], AbstractContextManager[tuple[Served, Exchanges]]]] = {
    name: partial(_started, name, peer, command) for name, peer, command in _KINDS
}

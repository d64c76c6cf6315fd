"""Virtual environments of the peers, each made once by pip under `.attune/peers/` and kept.

python -m benchmarks.peers.environments triton
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

ROOT = Path(".attune/peers")
STAMP = "installed.txt"
LINES_TOLD = 5
END_S = 20.0


@dataclass(frozen=True, slots=True)
class Peer:
    """What a peer is installed from."""

    name: str
    requirements: tuple[str, ...]
    with_dependencies: bool = True


TRITON = Peer("triton", ("nvidia-pytriton==0.7.0", "numpy==1.26.4"), with_dependencies=False)
LITSERVE = Peer("litserve", ("litserve==0.2.19", "numpy==2.4.6"))
MLSERVER = Peer("mlserver", ("mlserver==1.7.1",))
KSERVE = Peer("kserve", ("kserve==0.21.0",))
PEERS = (TRITON, LITSERVE, MLSERVER, KSERVE)


class PeerMissing(Exception):
    """This peer cannot be had on this machine; the text says why."""


def installed(peer: Peer) -> bool:
    """Whether its environment is there, made of the same requirements."""
    stamp = ROOT / peer.name / STAMP
    return stamp.is_file() and stamp.read_text() == _wanted(peer)


def environment(console: Console, peer: Peer) -> Path:
    """The folder of its virtual environment, made if need be. Raises `PeerMissing` with what pip said."""
    folder = (ROOT / peer.name).resolve()
    if not installed(peer):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with console.status(f"Installing {' '.join(peer.requirements)} into {folder} ..."):
            _run(peer, [sys.executable, "-m", "venv", "--clear", str(folder)])
            options = [] if peer.with_dependencies else ["--no-deps"]
            _run(peer, [str(folder / "bin/pip"), "install", "--quiet", *options, *peer.requirements])
        (folder / STAMP).write_text(_wanted(peer))
    return folder


def site_packages(folder: Path) -> Path:
    """Where the packages of an environment lie."""
    return folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


@contextmanager
def child(command: list[str], environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server process of ours, ended with the block; what it says goes to `log`."""
    with log.open("wb") as told:
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Of a server and whatever it has started and left behind."""
    family = [] if process.poll() is not None else psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for left in family:
        with suppress(psutil.NoSuchProcess):
            left.terminate()
    for left in psutil.wait_procs(family, END_S)[1]:
        left.kill()


def _run(peer: Peer, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LINES_TOLD:])
        raise PeerMissing(f"{peer.name} does not install here: {' '.join(command)}:\n{said}")


def _wanted(peer: Peer) -> str:
    return f"{sys.version}\n" + "\n".join(peer.requirements)


if __name__ == "__main__":
    for wanted in (peer for peer in PEERS if peer.name in sys.argv[1:]):
        print(environment(Console(), wanted))

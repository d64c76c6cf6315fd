"""A sidecar process that ends what a killed owner leaves behind: its recorded descendants, and then itself.

After kill -9 of the process that owns a vLLM engine, the engine's processes live on with parent 1. No handler runs in a
process killed that way, so somebody else has to watch. The file runs as a script of its own: keep its imports few.
"""

import subprocess
import sys
import time

import psutil

POLL_S = 0.5


class Watchdog:
    """Watches the current process from outside, from construction until `close` or until the process is gone."""

    def __init__(self, poll_s: float = POLL_S) -> None:
        owner = psutil.Process()
        command = [sys.executable, "-I", __file__, str(owner.pid), repr(owner.create_time()), str(poll_s)]
        self._process = subprocess.Popen(
            command,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the sidecar without touching what it watches; calling it twice is harmless."""
        self._process.kill()
        self._process.wait()


def watch(owner_pid: int, owner_started: float, poll_s: float) -> None:
    """Record the owner's descendants every `poll_s` until it is gone, then kill those that are left.

    `owner_started` (unix seconds, as psutil tells it): a later process with the same number is not taken for it.
    """
    known: dict[int, psutil.Process] = {}
    while owner := _alive(owner_pid, owner_started):
        known = {pid: process for pid, process in known.items() if process.is_running()} | _descendants(owner)
        time.sleep(poll_s)
    for process in known.values():
        for late in (*_descendants(process).values(), process):
            _kill(late)


def _alive(pid: int, started: float) -> psutil.Process | None:
    """The process of that number and start, unless it has ended."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < 0.01 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _descendants(process: psutil.Process) -> dict[int, psutil.Process]:
    try:
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return {}
    own = psutil.Process().pid
    return {child.pid: child for child in children if child.pid != own}


def _kill(process: psutil.Process) -> None:
    """psutil compares the start time first, so a number that was given to another process is left alone."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))

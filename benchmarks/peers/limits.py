"""What the load generator itself can do."""

import os
import socket
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.peers.asking import post
from benchmarks.peers.environments import child
from benchmarks.peers.measuring import Served, measured
from benchmarks.peers.null_server import BODY
from serve.ray_cluster import free_port

START_S = 20.0


def generator_limit(connections: int, seconds: float) -> float:
    """Requests a second at a server that computes nothing, on this machine with its load."""
    port = free_port()
    exchange = post("/", b"{}", BODY, {})
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.peers.null_server", str(port)]
        with child(command, dict(os.environ), Path(folder) / "log"):
            wait_for(port)
            served = Served("nothing", f"127.0.0.1:{port}", lambda: [])
            return measured(served, [exchange], connections, 0.2, min(seconds, 2.0)).requests_per_s


def wait_for(port: int, timeout_s: float = START_S) -> None:
    """Until somebody listens. Raises `TimeoutError`."""
    give_up = time.perf_counter() + timeout_s
    while time.perf_counter() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port} after {timeout_s:.0f} s")

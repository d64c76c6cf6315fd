"""`attune serve`: a Serve config on this machine, watched until Ctrl-C; `attune ray-env` for other machines."""

import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console

from interest.errors import NotReady
from serve.app import build_app
from serve.config import HttpConfig, ServerConfig, parse_config, read_serve_config
from serve.ray_cluster import Build, node_environment, running, with_ports

READY_TIMEOUT_S = 300.0
POLL_S = 0.25


def serve_config(console: Console, path: Path, port: int | None) -> None:
    """Start what the file describes and wait for Ctrl-C."""
    http, args = read_serve_config(path)
    config = parse_config(args, str(path))
    if port is not None:
        http = http.on_port(port)
    with ready_server(console, config, http) as url:
        console.print(f"[bold green]Attune is ready at {url}[/]  (Ctrl-C ends it)")
        wait_for_interrupt()


@contextmanager
def ready_server(console: Console, config: ServerConfig, http: HttpConfig, build: Build = build_app) -> Iterator[str]:
    """A running server whose /ready has answered 200; yields its URL."""
    http = with_ports(http)
    with ExitStack() as stack:
        with console.status("Starting Ray, seven deployments and the language model ..."):
            url = stack.enter_context(running(config, http, build))
        with console.status("Warming up ..."):
            wait_until_ready(url)
        console.print(f"gRPC (Open Inference Protocol) at {http.host}:{http.grpc_port}")
        yield url
        console.print("Ending every process ...")


def export_lines(folder: Path) -> str:
    """The environment of a cluster's nodes, for a shell to read."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in node_environment(folder).items())


def wait_until_ready(url: str, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Raises `NotReady` with the server's own reason when the time is over."""
    give_up = time.perf_counter() + timeout_s
    reason = "no answer"
    with httpx.Client(timeout=10) as client:
        while time.perf_counter() < give_up:
            try:
                answer = client.get(f"{url}/ready")
                if answer.status_code == 200:
                    return
                reason = answer.text
            except httpx.HTTPError as error:
                reason = str(error)
            time.sleep(POLL_S)
    raise NotReady(f"{url}/ready: not within {timeout_s:.0f} s: {reason}")


def wait_for_interrupt() -> None:
    """Until SIGINT or SIGTERM."""
    stopped = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not stopped.wait(0.5):
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

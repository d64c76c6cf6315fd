"""What Ray's processes are told, without starting any, and what SIGTERM does meanwhile."""

import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interest.errors import InvalidConfig
from serve.cli import app
from serve.config import HttpConfig, Limits
from serve.ray_cluster import FRONT, _ended_by_sigterm, _http_options, environment, node_environment, with_ports


def test_messages_between_deployments_may_be_larger_than_the_largest_body(tmp_path: Path) -> None:
    told = int(environment(tmp_path, "demo", HttpConfig())["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"])
    assert told == 2**30 > 64 * Limits().max_body_bytes, "a batch of them travels in one"


def test_the_hub_is_closed_for_a_model_on_this_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert environment(tmp_path, "demo", HttpConfig())["HF_HUB_OFFLINE"] == "1"
    assert environment(tmp_path, str(tmp_path), HttpConfig())["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment(tmp_path, "Qwen/Qwen3-4B", HttpConfig())


@pytest.mark.parametrize("model", ["demo", "Qwen/Qwen3-4B"])
def test_what_the_caller_says_about_the_hub_stands(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "HF_HUB_OFFLINE" not in environment(tmp_path, model, HttpConfig())


def test_a_timeout_of_rays_own_keeps_requests_on_rays_way(tmp_path: Path) -> None:
    assert environment(tmp_path, "demo", HttpConfig())[FRONT] == "serve.routes.front:middlewares"
    assert not environment(tmp_path, "demo", HttpConfig(request_timeout_s=7.5))[FRONT]


def test_every_http_option_reaches_ray() -> None:
    from ray.serve.config import HTTPOptions

    told = HTTPOptions(**_http_options(HttpConfig(host="127.0.0.2", port=8123, request_timeout_s=7.5)))
    assert (told.host, told.port, told.request_timeout_s) == ("127.0.0.2", 8123, 7.5)


def test_grpc_listens_next_to_http_or_where_it_was_asked_to() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settled = with_ports(HttpConfig(port=port - 1))
        assert settled.port == port - 1
        assert settled.grpc_port not in (0, port)
        with pytest.raises(InvalidConfig, match=f"port {port}"):
            with_ports(HttpConfig(port=0, grpc_port=port))
    free = with_ports(HttpConfig(port=0))
    assert with_ports(free) == free
    assert 0 not in (free.port, free.grpc_port)
    file = HttpConfig(port=8000, grpc_port=9000)
    assert [file.on_port(port).grpc_port for port in (8000, 8123)] == [9000, 0]


def test_ray_env_gives_a_shell_what_every_node_needs(tmp_path: Path) -> None:
    folder = tmp_path / "a node"
    printed = CliRunner().invoke(app, ["ray-env", "--folder", str(folder)])
    assert printed.exit_code == 0, printed.output
    shell = ["env", "-i", "sh", "-c", 'eval "$1"; env', "sh", printed.output]
    seen = dict(line.split("=", 1) for line in subprocess.check_output(shell, text=True).splitlines())
    wanted = {name: value for name, value in node_environment(folder).items() if not name.endswith("_PORT")}
    assert wanted.items() <= seen.items()
    assert seen["RAY_SERVE_HAPROXY_METRICS_PORT"] != seen["RAY_SERVE_HAPROXY_STATS_PORT"]
    assert Path(seen["PROMETHEUS_MULTIPROC_DIR"]).is_dir()
    version = subprocess.check_output([seen["RAY_SERVE_HAPROXY_BINARY_PATH"], "-v"], text=True)
    assert version.startswith("HAProxy")


def test_the_proxy_is_local_strips_what_is_ours_to_decide_and_sees_callers_leave(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "defaults\n    mode http\n    option splice-request\nfrontend prometheus\n    bind :9101\n"
        "frontend http_frontend\n    bind *:8000\n"
    )
    binary = node_environment(tmp_path / "node")["RAY_SERVE_HAPROXY_BINARY_PATH"]
    subprocess.run([binary, "-c", "-f", str(config)], check=False, capture_output=True)
    told = config.read_text()
    assert "splice-request" not in told
    assert told.count("bind 127.0.0.1:") == 2
    assert "http-request del-header x-request-timeout-seconds" in told
    assert "http-request set-header x-request-disconnect-disabled ?1" in told


def test_sigterm_ends_what_it_meets_and_is_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as told, _ended_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert told.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_where_no_handler_can_be_set_the_block_runs_all_the_same() -> None:
    ran = []

    def block() -> None:
        with _ended_by_sigterm():
            ran.append(True)

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert ran

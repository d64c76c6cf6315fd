"""What Ray's processes are told, without starting any."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve.cli import app
from serve.config import HttpConfig, Limits
from serve.ray_cluster import _http_options, environment, node_environment


def test_messages_between_deployments_may_be_larger_than_the_largest_body(tmp_path: Path) -> None:
    told = int(environment(tmp_path, "demo")["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"])
    assert told == 64 * 2**20 > Limits().max_body_bytes


def test_the_hub_is_closed_for_a_model_on_this_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert environment(tmp_path, "demo")["HF_HUB_OFFLINE"] == "1"
    assert environment(tmp_path, str(tmp_path))["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in environment(tmp_path, "Qwen/Qwen3-4B")


@pytest.mark.parametrize("model", ["demo", "Qwen/Qwen3-4B"])
def test_what_the_caller_says_about_the_hub_stands(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert "HF_HUB_OFFLINE" not in environment(tmp_path, model)


def test_every_http_option_reaches_ray() -> None:
    from ray.serve.config import HTTPOptions

    told = HTTPOptions(**_http_options(HttpConfig(host="127.0.0.2", port=0, request_timeout_s=7.5), 8123))
    assert (told.host, told.port, told.request_timeout_s) == ("127.0.0.2", 8123, 7.5)


def test_ray_env_gives_a_shell_what_every_node_needs_and_nothing_of_this_machine(tmp_path: Path) -> None:
    metrics = tmp_path / "all metrics"
    printed = CliRunner().invoke(app, ["ray-env", "--metrics", str(metrics)])
    assert printed.exit_code == 0, printed.output
    shell = ["env", "-i", "sh", "-c", 'eval "$1"; env', "sh", printed.output]
    seen = dict(line.split("=", 1) for line in subprocess.check_output(shell, text=True).splitlines())
    wanted = node_environment(metrics)
    assert wanted.items() <= seen.items()
    assert metrics.is_dir()
    own = environment(tmp_path, "demo")
    assert {**own, **wanted} == {**own, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    assert not any(name.endswith(("_PATH", "_LOC", "_PORT", "_BASE", "_FILE")) for name in wanted)

"""What Ray's processes are told, without starting any."""

from pathlib import Path

import pytest

from serve.config import HttpConfig, Limits
from serve.ray_cluster import _http_options, environment


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

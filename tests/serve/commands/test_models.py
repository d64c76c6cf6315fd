"""`attune models`: what is asked of the server, and its sentence when it refuses."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from interest.errors import InvalidRequest
from serve.cli import app
from serve.commands.models import change_model


def test_load_sends_the_config_that_is_to_hold_in_place_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def post(url: str, json: Any, timeout: float) -> httpx.Response:
        asked[url] = json
        return httpx.Response(200, json=[{"name": "price", "version": "1", "state": "READY"}])

    monkeypatch.setattr(httpx, "post", post)
    config = tmp_path / "config.json"
    config.write_text('{"max_batch_size": 8}')
    ended = CliRunner().invoke(app, ["models", "load", "price", "--config", str(config), "--url", "http://a"])
    assert "price: 1 READY" in ended.output
    assert asked == {
        "http://a/v2/repository/models/price/load": {"parameters": {"config": '{"max_batch_size": 8}'}},
        "http://a/v2/repository/index": {},
    }


def test_a_refusal_is_the_servers_own_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def post(url: str, json: Any, timeout: float) -> httpx.Response:
        return httpx.Response(400, json={"error": f"failed to load 'price': {json}"})

    monkeypatch.setattr(httpx, "post", post)
    with pytest.raises(InvalidRequest, match=r"failed to load 'price': \{'parameters': \{\}\}"):
        change_model(Console(quiet=True), "http://a", "load", "price")

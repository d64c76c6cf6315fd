"""What must stop a start, and with which words."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from interest.errors import InvalidConfig, InvalidRelease
from interest.store.open import open_writer
from ranking.release import ModelRepository
from serve.config import DEPLOYMENTS, parse_config, read_serve_config
from serve.ray_grpc import SERVICER
from serve.startup import candidates_of, checked, clock_of, resolve_release

SERVE_CONFIG = Path("deploy/serve.yaml")


def test_the_shipped_serve_config_is_valid_and_names_every_deployment() -> None:
    http, args = read_serve_config(SERVE_CONFIG)
    config = parse_config(args, str(SERVE_CONFIG))
    assert (http.host, http.port, http.grpc_port) == ("127.0.0.1", 8000, 8001)
    assert yaml.safe_load(SERVE_CONFIG.read_text())["grpc_options"]["grpc_servicer_functions"] == [SERVICER]
    assert set(config.deployments) == set(DEPLOYMENTS)
    assert config.deployment("generator").health_check_period_s == 1
    assert sum(deployment.num_cpus for deployment in config.deployments.values()) <= 1.0


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"colour": 1}, "colour"),
        ({"limits": {"permitts": 1}}, "limits.permitts"),
        ({"deployments": {"retriver": {}}}, "retriver"),
        ({"deployments": {"retriever": {"num_replica": 2}}}, "num_replica"),
        ({"generation": {"engine": {"modle": "x"}}}, "modle"),
        ({"limits": {"permits": 0}}, "limits.permits"),
        ({"deployments": {"store": {"num_replicas": 2}}}, "SQLite has one writer"),
    ],
)
def test_a_wrong_key_or_value_is_named(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfig, match=words):
        parse_config(raw, "serve.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "applications: []",
        "a: [",
        *(f"applications: [{{args: {{}}}}]\n{part}_options: {{prot: 1}}" for part in ("http", "grpc")),
    ],
)
def test_a_file_that_is_no_serve_config_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    with pytest.raises(InvalidConfig, match=r"serve\.yaml"):
        read_serve_config(path)


def test_a_flipped_byte_in_any_model_stops_the_start(trained_home: Any, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    shutil.copytree(trained_home.folder, folder)
    home = type(trained_home)(folder, trained_home.world)
    # A checkpoint is for training alone: a start does not read it, an incremental training verifies it.
    served = [path for path in sorted((folder / "models").rglob("*.safetensors")) if "checkpoint" not in path.parts]
    assert served
    for victim in served:
        whole = victim.read_bytes()
        victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(InvalidRelease, match="sha256"):
            home.config()
        victim.write_bytes(whole)
    home.config()


def test_a_missing_release_or_store_is_a_plain_error(trained_home: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidRelease, match="attune train"):
        trained_home.config(repository=str(tmp_path / "empty"))
    with pytest.raises(InvalidRelease, match="99"):
        trained_home.config(release="99")


def test_a_store_with_validation_events_refuses_evaluation(trained_home: Any, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    shutil.copytree(trained_home.folder, folder)
    home = type(trained_home)(folder, trained_home.world)
    with closing(open_writer(home.store_url)) as writer:
        writer.set_meta("split", "all")
    with pytest.raises(InvalidConfig, match="SPLIT=all"):
        home.config()
    assert home.config(evaluation={"enabled": False}).release == "1"


def test_a_release_that_saw_only_the_past_may_be_evaluated_on_the_rest(trained_home: Any, tmp_path: Path) -> None:
    folder = tmp_path / "home"
    shutil.copytree(trained_home.folder, folder)
    home = type(trained_home)(folder, trained_home.world)
    with closing(open_writer(home.store_url)) as writer:
        writer.set_meta("split", "all")
    repository = ModelRepository(folder / "models")
    whole = repository.read_release("1")
    repository.write_release(replace(whole, name="2", details={**whole.details, "until": 1_700_000_000.0}))
    assert home.config(release="2").evaluation.enabled
    with pytest.raises(InvalidConfig, match="--until"):
        home.config(release="1")


def test_release_and_clock_are_resolved_once_for_every_replica(trained_home: Any) -> None:
    config = trained_home.config(clock={"mode": "data"})
    assert config.release == resolve_release(config).name == "1"
    clock = clock_of(config)
    assert clock.mode == "data"
    newest = max(event.timestamp for event in trained_home.world.events)
    assert 0 <= clock.now() - newest < 60
    assert clock_of(checked(config)) == clock
    with pytest.raises(InvalidConfig, match="not resolved"):
        clock_of(parse_config({}, "test"))
    with pytest.raises(InvalidConfig, match=r"retrieval\.candidates: not resolved"):
        candidates_of(parse_config({}, "test"))

"""`attune train`: the option that goes on from the newest release is heard."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from interest.errors import InvalidRelease
from serve.cli import app


def test_an_incremental_training_needs_a_release_to_go_on_from(tmp_path: Path) -> None:
    where = ["--store", f"sqlite:///{tmp_path / 'attune.db'}", "--repository", str(tmp_path / "models")]
    found = CliRunner().invoke(app, ["train", "--incremental", *where])
    assert isinstance(found.exception, InvalidRelease)
    with pytest.raises(InvalidRelease, match="no release to go on from; run a full training"):
        raise found.exception
    assert CliRunner().invoke(app, ["train", *where]).exit_code == 0
    assert CliRunner().invoke(app, ["train", "--incremental", *where]).exit_code == 0

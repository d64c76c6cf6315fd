"""`attune adapt`: what it prints, and its exit status."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ranking.release import ModelVersion
from serve.adaptation.adapting import Adapted
from serve.adaptation.judgement import Judgement
from serve.adaptation.pairs import write_pairs
from serve.cli import app
from serve.commands import adapt as command

AGREES = {"pairs": 80, "accuracy": 0.9, "low": 0.85, "high": 0.95}
UNTRUE = {"untrue": {"title": 20, "facet": 8}, "untrue_base": {}}
GOOD = Judgement(**AGREES, **UNTRUE, texts=400, changed=0.4, grounded=0.93, grounded_base=0.92, margin=0.02)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("judged", "status", "said"),
    [
        (GOOD, 0, "Registered as short/3"),
        (replace(GOOD, low=0.5), 1, "Refused: preference accuracy 90.0% on 80 held-out pairs"),
        (replace(GOOD, grounded=0.89), 1, "Refused: 89.0% of 400 texts grounded, 92.0% without it"),
        (replace(GOOD, changed=0.05), 1, "Refused: 5.0% of 400 texts changed by it: must be 10% at least"),
    ],
)
def test_an_adapter_is_registered_or_refused_with_a_sentence_of_numbers_and_status_1(
    judged: Judgement, status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = None if judged.refusal() else ModelVersion("adapter-short", "3", tmp_path, {})
    monkeypatch.setattr(command, "adapt", lambda *_: Adapted(judged, [], [], [], version))
    write_pairs(tmp_path / "pairs.jsonl", [])
    found = CliRunner().invoke(app, ["adapt", str(tmp_path / "pairs.jsonl"), "short"])
    assert found.exit_code == status, found.output
    output = " ".join(found.output.split())
    assert said in output
    assert "refused texts: 20 for title, 8 for facet; without it none" in output


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["adapt", str(tmp_path / "pairs.jsonl"), "short"])
    assert "No such file" in str(found.exception)

"""The tables of the demo model in README and card say what the committed JSON says."""

import json
from pathlib import Path

import pytest

from benchmarks.demo_model_table import CARD, END, START, rows, updated
from benchmarks.readme_table import README, RESULTS


@pytest.mark.parametrize("path", [README, CARD], ids=["README", "model card"])
def test_the_tables_are_those_of_the_committed_numbers(path: Path) -> None:
    report = json.loads((RESULTS / "demo_model.json").read_text())
    text = path.read_text(encoding="utf-8")
    assert updated(text, report) == text, "run python -m benchmarks.demo_model_table"


def test_both_ways_of_writing_stand_in_one_row() -> None:
    one = {"language": "en", "catalogue": "all", "texts": 1000, "exact_title": 0.99, "false_fact": 0.002}
    report = {"by": [{"mode": "free", "strict": 0.98, **one}, {"mode": "constrained", "strict": 0.997, **one}]}
    assert rows(report)[1:] == [("all", "en", "1,000", "99.0%", "0.2%", "98.0%", "99.7%")]


def test_a_text_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match=START):
        updated(f"{START} only", {})
    assert END not in START

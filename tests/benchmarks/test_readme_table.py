"""The README says what the committed numbers say."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality.__main__ import origin
from benchmarks.readme_table import RESULTS, read_reports, tables, updated


def method(name: str, ndcg: float, gap: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> dict[str, Any]:
    return {"name": name, "metrics": {"ndcg@10": ndcg}, "differences": {"ndcg@10": gap}}


def report() -> dict[str, Any]:
    methods = [
        method("EASE", 0.1),
        method("EASE + recent popularity", 0.12),
        method("Attune", 0.13, (0.01, -0.002, 0.02)),
    ]
    best = {"best_baseline": "EASE + recent popularity", "users": 1_234, "methods": methods}
    cold = [method("popularity", 0.01), method("content cosine", 0.02), method("Attune", 0.03)]
    compared = {"users": 7, "methods": cold}
    return {
        "data": "shop",
        "seed": 0,
        "baseline_settings": "tuned in this run",
        "machine": {"commit": "abc", "date": "2024-05-06"},
        "tasks": [{"protocol": "strict", "task": "new", **best}],
        "cold_start": {
            "users": [{"events": 0, "declared": 10, "tiers": {"cold_start": 7}, **compared}],
            "items": {"items": 12, "tiers": {"full": 7}, "among cold items": compared},
        },
    }


def test_the_readme_is_what_the_script_makes_of_the_committed_numbers() -> None:
    readme = Path("README.md").read_text()
    assert updated(readme, read_reports(RESULTS)) == readme, "run python -m benchmarks.readme_table"


def test_a_row_shows_the_best_baseline_by_name_and_the_interval_of_the_difference() -> None:
    made = tables([report()])
    assert (
        "| shop, new, strict | 1,234 | - | - | - | - | 0.100 | 0.120 (EASE + recent popularity) | **0.130** "
        "| +0.010 (-0.002 to +0.020) |"
    ) in made
    assert "| shop, users with 10 declared interests | 7 | 0.010 | 0.020 | **0.030** | cold_start 7 |" in made
    assert "| shop, among 12 items without events | 7 | 0.010 | 0.020 | **0.030** | full 7 |" in made
    assert made.endswith("Measured: shop at commit abc on 2024-05-06, seed 0 (baseline settings tuned in this run).")


def test_what_is_lost_without_a_part_is_shown_where_it_was_measured() -> None:
    whole, cut = report(), report()
    cut["tasks"][0]["methods"] += [method("Attune without the learned reranker", 0.05)]
    assert "without the" not in tables([whole])
    made = tables([cut, whole])
    assert "| nDCG@10 | whole | without the learned reranker |" in made
    assert made.count("| shop, new, strict | 0.130 | 0.050 |") == 1


def test_only_the_text_between_the_markers_changes_and_they_must_be_there() -> None:
    found = updated("a\n<!-- quality:start -->\nearlier text\n<!-- quality:end -->\nb\n", [report()])
    assert (found[:2], found[-3:]) == ("a\n", "\nb\n")
    assert "earlier text" not in found
    assert updated(found, [report()]) == found
    with pytest.raises(ValueError, match="quality:start"):
        updated("nothing", [report()])


def test_settings_that_went_from_run_to_run_are_those_of_the_run_that_tuned_them() -> None:
    first = report()
    told = "those tuned in the run at commit abc"
    assert origin(first) == told
    assert origin({**first, "baseline_settings": told, "machine": {"commit": "def"}}) == told

"""The README says what the committed numbers say."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.readme_table import (
    LEARNING,
    LEARNING_PART,
    QUALITY_PART,
    RESULTS,
    learning_text,
    read_reports,
    tables,
    updated,
)


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
    learning = learning_text(json.loads(LEARNING.read_text()))
    for text, part in ((tables(read_reports(RESULTS)), QUALITY_PART), (learning, LEARNING_PART)):
        assert updated(readme, text, part) == readme, "run python -m benchmarks.readme_table"


def test_a_row_shows_the_best_baseline_by_name_and_the_interval_of_the_difference() -> None:
    made = tables([report()])
    assert (
        "| shop, new, strict | 1,234 | - | - | - | - | 0.100 | 0.120 (EASE + recent popularity) | **0.130** "
        "| +0.010 (-0.002 to +0.020) |"
    ) in made
    assert "| shop, users with 10 declared interests | 7 | 0.010 | 0.020 | **0.030** | cold_start 7 |" in made
    assert "| shop, among 12 items without events | 7 | 0.010 | 0.020 | **0.030** | full 7 |" in made
    assert made.endswith("Measured: shop at commit abc on 2024-05-06, seed 0 (baseline settings tuned in this run).")


def test_only_the_text_between_the_markers_changes_and_they_must_be_there() -> None:
    text = tables([report()])
    found = updated("a\n<!-- quality:start -->\nearlier text\n<!-- quality:end -->\nb\n", text, QUALITY_PART)
    assert (found[:2], found[-3:]) == ("a\n", "\nb\n")
    assert "earlier text" not in found
    assert text in found
    assert updated(found, text, QUALITY_PART) == found
    with pytest.raises(ValueError, match="quality:start"):
        updated("nothing", text, QUALITY_PART)


def test_learning_is_shown_by_scale_and_incremental_beside_full() -> None:
    cost = {"wall_s": 20.0, "cpu_s": 10.0, "peak_mib": 1_000.0}
    sizes = {"events": 60_000, "users": 600, "items": 2_000, "load_before": 1.5}
    slope = {"wall_s": 0.3, "cpu_s": 0.5, "peak_mib": 0.2}
    where = {"commit": "abc", "date": "2024-05-06"}
    full = [{**cost, "cpu_s": seconds} for seconds in (9.0, 1.0, 4.0)]
    means = {"checkpoint 0.9": 0.14, "incremental 0.9": 0.149, "full": 0.15}
    real = {
        "data": "shop",
        "load_before": 2.5,
        "checkpoints": [{"share": 0.9, "new_events": 3_000, "new_days": 30.2}],
        "costs": {"incremental 0.9": [cost], "full": full},
        "ndcg@10": {"new": {"means": means, "differences": [[-0.001, -0.002, 0.0005]]}},
    }
    made = learning_text(
        {
            "synthetic": {
                "machine": where,
                "seed": 0,
                "runs": [{**sizes, "cost": cost, "steps": {"encoder": cost}}],
                "exponents": {"whole": slope, "encoder": slope},
            },
            "incremental": {"machine": where, "seed": 0, "rounds": 3, "runs": [real]},
        }
    )
    assert "| encoder, CPU s | 10.0 | 0.50 |" in made
    assert "| all, peak MiB | 1,000 | 0.20 |" in made
    gap = "0.1490 (-0.7%; difference -0.0020 to +0.0005)"
    assert f"| incremental, from the first 90% | 3,000 in 30 days | 10.0 | 20.0 | {gap} |" in made
    assert "| full |  | 4.0 | 20.0 | 0.1500 |" in made
    assert "| the release of the first 90% as it was |  |  |  | 0.1400 |" in made
    assert "incremental (medians of 3) at commit abc on 2024-05-06, seed 0, load before 2.5 to 2.5" in made

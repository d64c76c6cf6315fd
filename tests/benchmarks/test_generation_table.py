"""The README's tables of texts hold the committed numbers."""

import json

import pytest

from benchmarks.generation_table import END, START, updated
from benchmarks.readme_table import README, RESULTS

MACHINE = {"commit": "abc", "date": "2026-01-01", "load_before": 0.5}
ONE = {
    "texts": 1000,
    "grounded": 0.95,
    "template": {"title": 0.04, "facet": 0.01},
    "errors_of_answers": {"history": 0.0, "duplicate": 0.01, "candidate": 0.02, "copy": 0.0},
    "errors_shown": {"history": 0.0, "duplicate": 0.0, "candidate": 0.0, "copy": 0.0},
    "distinct": {"1": 0.1, "2": 0.3},
}
COMMON = {"machine": MACHINE, "seed": 0, "model": "demo", "data": ["shop", "films"]}
GROUNDING = {
    **COMMON,
    "all": ONE,
    "by": {"zh": ONE},
    "structured": {"free": {"tokens_per_s": [4000.4, 5000.0], "title": 0.9, "complete": 1.0, "grounded": 0.8}},
}
ACCURACY = {"accuracy": [0.9, 0.88, 0.92], "accuracy_by_embedding": [0.8, 0.7, 0.9], "coverage": 0.2}
COST = {"completion_tokens": 12345, "prefix_cache_hit_rate": 0.5}
PERSONAL = {**COMMON, "pairs": 600, "results": {"templates": ACCURACY, "model, n = 4": {**ACCURACY, "cost": COST}}}

TEXT = {"score": 0.4, "similarity": 0.5, "coverage": 0.2, "grounded": 0.6, "prompt_tokens": 1234.4}
GAIN = [-0.012, -0.02, 0.001]
TEXT_ORDER = {
    **COMMON,
    "default_weight": 0.1,
    "results": [
        {
            "data": "shop",
            "task": "new",
            "users": 300,
            "order": {
                "1": {
                    "ndcg": 0.17,
                    "best": [0.2, 0.1, 0.3],
                    "weights": [
                        {"weight": weight, "difference": GAIN, "beyond_shuffled": [0.0, -0.1, 0.1], "changed": weight}
                        for weight in (0.1, 1.0, 1e6)
                    ],
                }
            },
            "texts": {each: {**TEXT, "completion_tokens": 100 * int(each)} for each in ("1", "4")},
            "gain": {"ratio": [1.1, 0.99, 1.2]},
        }
    ],
}


def test_every_number_stands_in_its_table() -> None:
    readme = updated(f"before\n{START}\nold\n{END}\nafter\n", GROUNDING, PERSONAL, TEXT_ORDER)
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter\n")
    assert "old" not in readme
    errors = "0.0% / 1.0% / 2.0% / 0.0%"
    assert f"| zh | 1,000 | 95.0% | title 4.0%, facet 1.0% | {errors} |" in readme
    assert "| free | 4,000 | 5,000 | 90.0% | 100.0% | 80.0% |" in readme
    assert "| model, n = 4 | 90.0% (88.0% to 92.0%) | 80.0% (70.0% to 90.0%) | 0.200 | 12,345 | 50.0% |" in readme
    assert "| templates | 90.0% (88.0% to 92.0%) | 80.0% (70.0% to 90.0%) | 0.200 | - | - |" in readme
    assert "| shop, new (300 users), 1 | 0.400 | - | 0.500 | 0.200 | 0.600 | 1,234 / 100 |" in readme
    assert (
        "| shop, new (300 users), 4 | 0.400 | +10.0% (-1.0% to +20.0%) | 0.500 | 0.200 | 0.600 | 1,234 / 400 |"
        in readme
    )
    gain, known, best = "-0.0120 (-0.0200 to +0.0010)", "+0.0000 (-0.1000 to +0.1000)", "+0.2000 (+0.1000 to +0.3000)"
    order = f"{gain} | {gain} | {gain} | {known} | {best} | 10.0% |"
    assert f"| shop, new (300 users), 1 | 0.1700 | {order}" in readme
    assert "| 0.1 (default): difference (95 %) | 1: difference (95 %) | text alone: difference (95 %) |" in readme
    assert "of demo on shop, films at commit abc" in readme


def test_a_readme_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="generation"):
        updated("nothing", GROUNDING, PERSONAL, TEXT_ORDER)


def test_the_readme_holds_the_committed_numbers() -> None:
    readme = README.read_text()
    reports = [json.loads((RESULTS / f"{name}.json").read_text()) for name in ("grounding", "personal", "text_order")]
    assert updated(readme, *reports) == readme

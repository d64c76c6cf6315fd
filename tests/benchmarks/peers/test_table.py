"""What is made of the rounds: medians, ratios, errors, and the README's table."""

import json
from typing import Any

import pytest

from benchmarks.peers.loading import summed
from benchmarks.peers.measuring import Round
from benchmarks.peers.table import END, START, updated
from benchmarks.peers.triton import errors, ratios
from benchmarks.readme_table import README, RESULTS


def one(rate: float, errors: int = 0) -> dict[str, Any]:
    return summed([Round(100, rate + more, 2.0, 9.0, errors, [], 0, 0.1, {}, {}) for more in (-10, 0, 30)])


def report(errors: int = 0) -> dict[str, Any]:
    stages = {"trivial": {"json": {"64": {"attune": one(600), "triton": one(2000, errors)}}}, "real": {"missing": "no"}}
    return {
        "machine": {"commit": "abc", "date": "2026-01-01", "load_before": 0.5, "cores": 2},
        "rounds": 3,
        "seconds": 5.0,
        "generator_limit": {"64": 30000.0},
        "stages": stages,
        "ratios": ratios(stages),
        "others": {"litserve": {"json": {"64": {"litserve": one(900)}}}, "mlserver": {"missing": "no"}},
    }


def test_the_ratio_is_of_the_medians() -> None:
    assert ratios(report()["stages"]) == {"trivial": {"json": {"64": 0.3}}}


def test_errors_of_every_round_of_every_server_count() -> None:
    assert errors(report()) == 0
    assert errors(report(errors=2)) == 6


def test_every_number_stands_in_the_table() -> None:
    readme = updated(f"before\n{START}\nold\n{END}\nafter\n", report())
    assert "old" not in readme
    assert "| trivial, json, 64 | 2,000 | 600 | 0.30 | 2.0 / 9.0 | 2.0 / 9.0 |" in readme
    assert "| trivial, json, 64: litserve instead of Triton | 900 | - | - | 2.0 / 9.0 | - |" in readme
    assert "2 cores at commit abc" in readme


def test_a_readme_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="peers"):
        updated("nothing", report())


def test_the_readme_holds_the_committed_numbers() -> None:
    readme = README.read_text()
    assert updated(readme, json.loads((RESULTS / "triton.json").read_text())) == readme

"""The benchmarks of generation run from the command to the file, with the demo model in vLLM."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import bench_grounding, bench_personal
from ranking.synthetic import make_world

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    world = make_world(np.random.default_rng(3), 40, 60, 2_000)
    items = [
        {"item_id": item.item_id, "title": item.title, "domain": item.domain, "tags": list(item.tags)}
        for item in world.items
    ]
    events = [
        {"event_id": f"e{n}", "type": "like", "user_id": e.user_id, "item_id": e.item_id, "timestamp": e.timestamp}
        for n, e in enumerate(world.events)
    ]
    for name, rows in (("items", items), ("events", events)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return tmp_path


def report_of(benchmark: str, data: Path, output: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--data", str(data), "--quick", "--output", str(output)]
    subprocess.run(command, check=True)
    report: dict[str, Any] = json.loads(output.read_text())
    return report


def test_the_grounding_benchmark_reports_every_measure(folder: Path, tmp_path: Path) -> None:
    report = report_of("bench_grounding", folder, tmp_path / "out" / "grounding.json")
    assert report["all"]["texts"] == 2 * bench_grounding.QUICK
    assert report["all"]["grounded"] > 0.5
    assert report["all"]["grounded"] + sum(report["all"]["template"].values()) == pytest.approx(1.0, abs=1e-3)
    assert set(report["all"]["errors_shown"].values()) == {0.0}
    assert set(report["structured"]) == {"free", "title as a literal", "JSON schema"}
    assert report["structured"]["title as a literal"]["title"] == 1.0


def test_the_personal_benchmark_reports_model_templates_and_control(folder: Path, tmp_path: Path) -> None:
    results = report_of("bench_personal", folder, tmp_path / "personal.json")["results"]
    names = [f"model, n = {each}" for each in bench_personal.CANDIDATES]
    assert list(results) == ["templates", *names, "control: texts of another pair"]
    assert results["model, n = 1"]["accuracy"][0] > 0.7
    costs = [results[name]["cost"]["completion_tokens"] for name in names]
    assert costs == sorted(costs)

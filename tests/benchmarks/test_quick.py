"""The benchmarks of generation run from the command to the file, with the demo model in vLLM."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from benchmarks import bench_grounding, bench_personal, bench_text_order
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


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Films with ratings, the last fifth of which is held out."""
    world = make_world(np.random.default_rng(3), 40, 60, 2_000)
    rows = [
        {"user_id": event.user_id, "item_id": event.item_id, "rating": 5, "timestamp": int(event.timestamp)}
        for event in sorted(world.events, key=lambda event: event.timestamp)
    ]
    items = [
        {"item_id": item.item_id, "title": item.title, "year": 2000, "genres": "|".join(item.tags)}
        for item in world.items
    ]
    cut = len(rows) * 4 // 5
    for name, table in (("items", items), ("train", rows[:cut]), ("validation", rows[cut:])):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), tmp_path / f"{name}.parquet")
    return tmp_path


def report_of(benchmark: str, data: Path, output: Path, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--data", str(data), "--quick", "--output", str(output)]
    subprocess.run([*command, *more], check=True)
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


def test_the_order_benchmark_reports_every_weight_and_what_candidates_cost(split: Path, tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "state"))
    (found,) = report_of("bench_text_order", split, tmp_path / "text_order.json", *state)["results"]
    assert (found["data"], found["task"], found["users"]) == (split.name, "new", bench_text_order.QUICK)
    assert list(found["order"]) == list(found["texts"]) == [str(each) for each in bench_text_order.CANDIDATES]
    for order in found["order"].values():
        assert [row["weight"] for row in order["weights"]] == list(bench_text_order.WEIGHTS)
        assert all(row["difference"][0] <= order["best"][0] for row in order["weights"])
    few, many = (found["texts"][each] for each in ("1", "4"))
    assert many["score"] >= few["score"]
    assert many["completion_tokens"] > 3 * few["completion_tokens"]

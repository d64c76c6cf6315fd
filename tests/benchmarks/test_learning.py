"""The benchmark of learning: costs go to the step they belong to, and growth exponents are slopes."""

from typing import Any

import pytest

from benchmarks.bench_learning import exponents
from benchmarks.learning_runs import ClockedProgress, StepClock


def run(scale: float, cpu_s: float, mib: float) -> dict[str, Any]:
    cost = {"wall_s": 2 * cpu_s, "cpu_s": cpu_s, "peak_mib": mib}
    return {"scale": scale, "cost": cost, "steps": {"encoder": cost, f"only at {scale}": cost}}


def test_the_exponent_is_the_slope_of_log_cost_over_log_scale() -> None:
    found = exponents([run(1, 3.0, 100.0), run(4, 12.0, 200.0), run(16, 48.0, 400.0)])
    assert set(found) == {"whole", "encoder"}
    assert found["whole"] == pytest.approx({"wall_s": 1.0, "cpu_s": 1.0, "peak_mib": 0.5})
    assert exponents([run(1, 3.0, 100.0)]) == {}


def test_a_step_has_the_time_since_the_one_before_ended() -> None:
    clock = StepClock()
    progress = ClockedProgress(clock)
    first = progress.add_task("first", total=2)
    progress.update(first, completed=1)
    sum(number * number for number in range(200_000))
    progress.update(first, completed=2)
    second = progress.add_task("second", total=1)
    progress.update(second, completed=1)
    assert list(clock.steps) == ["first", "second"]
    assert clock.steps["first"].cpu_s > 10 * clock.steps["second"].cpu_s
    whole = clock.total()
    assert whole.cpu_s == pytest.approx(sum(step.cpu_s for step in clock.steps.values()))
    assert whole.peak_mib >= clock.steps["first"].peak_mib > 1.0

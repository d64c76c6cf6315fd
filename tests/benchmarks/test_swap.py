"""The swap benchmark counts what it sent: callers wait while others add to the same sum."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_swap


class Answers:
    """In place of a request: every third is not answered."""

    def __init__(self) -> None:
        self.count: Counter[bool] = Counter()

    async def ask(self, client: Any) -> bool:
        await asyncio.sleep(0.001)
        answered = self.count.total() % 3 != 2
        self.count[answered] += 1
        return answered


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    found = Answers()
    monkeypatch.setattr(bench_swap, "ask", found.ask)
    return found


async def test_the_peak_is_every_answer_a_second(answers: Answers) -> None:
    assert await bench_swap.peak(None, 0.1) == answers.count[True] / 0.1
    assert answers.count[True] > bench_swap.CONNECTIONS


async def test_a_round_counts_every_failure(answers: Answers) -> None:
    found = await bench_swap.one_round(None, 5_000.0, Path(), range(0), 0.1)
    assert (found.requests, found.failed) == (answers.count.total(), answers.count[False])
    assert found.failed > 10

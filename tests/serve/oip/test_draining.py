"""Replicas that end: when they are idle, when they do not answer, and in the end in any case."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from interest.batch import Tensors
from interest.errors import NotReady
from serve.oip import draining
from serve.oip.draining import drained, until_idle
from serve.oip.entries import FixedEntry
from serve.oip.errors import UnknownModel
from serve.oip.model_config import ModelConfig
from serve.oip.stage_models import NO_LENGTHS

CONFIG = ModelConfig(name="slow")


def replicas(answers: Iterator[float | None]) -> Any:
    """That were idle for so many seconds, question by question; None: they do not answer."""

    async def idle_s() -> float:
        answer = next(answers)
        if answer is None:
            raise NotReady("its replica died")
        return answer

    return SimpleNamespace(idle_s=idle_s)


@pytest.mark.parametrize(
    "answers",
    [
        [0.02],
        [0.0, 0.005, 0.01],
        [None, None, 0.01],
        [None, None, 0.0, None, None, 0.01],
        [None] * draining.MOST_SILENT,
    ],
)
async def test_replicas_may_end_when_they_are_idle_or_do_not_answer_again_and_again(
    answers: list[float | None],
) -> None:
    left = iter(answers)
    await until_idle("slow", replicas(left), 0.01)
    assert list(left) == []


async def test_replicas_that_are_never_idle_end_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "DRAIN_S", 0.05)
    await asyncio.wait_for(until_idle("slow", replicas(iter(lambda: 0.0, 1.0)), 0.01), 5)


@pytest.mark.parametrize("in_time", [True, False])
async def test_what_waits_is_answered_or_told_that_its_model_is_gone_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, in_time: bool
) -> None:
    monkeypatch.setattr(draining, "DRAIN_S", 5 if in_time else 0.01)
    may_answer = asyncio.Event()

    async def infer(tensors: Tensors) -> Tensors:
        await may_answer.wait()
        return tensors

    model: Any = SimpleNamespace(config=CONFIG, lengths=NO_LENGTHS, infer=infer)
    entry = FixedEntry(model, "1", in_flight=1)
    asked = [asyncio.create_task(entry.batcher("").submit({"x": np.ones(1)}, 1)) for _ in range(3)]
    await asyncio.sleep(0)
    draining_it = asyncio.create_task(drained("slow", entry))
    if in_time:
        may_answer.set()
        assert len(await asyncio.gather(*asked)) == 3
    else:
        for one in asked[1:]:
            with pytest.raises(UnknownModel, match="'slow' is not found"):
                await one
        may_answer.set()
        await asked[0]
    await draining_it

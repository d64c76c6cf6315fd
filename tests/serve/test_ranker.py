"""The batch stages: a stage that hangs costs its own batch, for as long as somebody waits, and no more."""

import asyncio
import math
import time
from typing import Any

import numpy as np
import pytest

from interest.batch import Tensors
from serve.oip.statistics import ModelStatistics
from serve.ranker import BatchRanker, Query, StageFailed

NOTHING = np.empty(0, dtype=np.int64)


def query(user_id: str, expires: float) -> Query:
    return Query(user_id, 1, 0.0, math.nan, False, NOTHING, expires=expires)


class Stages:
    """Answers nothing much; hangs in one stage until it is cancelled."""

    def __init__(self, hangs: str) -> None:
        self.hangs = hangs
        self.asked: list[list[str]] = []  # users of each call of the stage that hangs
        self.cancelled = 0

    def __call__(self, name: str) -> Any:
        async def call(tensors: Tensors) -> Tensors:
            if name != self.hangs:
                return {"user_id": tensors["user_id"]}
            self.asked.append(tensors["user_id"].tolist())
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled += 1
            raise AssertionError

        return call


def ranker_over(stages: Stages, in_flight: int) -> BatchRanker:
    named = {name: stages(name) for name in ("interest", "retriever", "reranker")}
    return BatchRanker(named, "1", 10, 8, in_flight, {name: ModelStatistics(name, "1") for name in named})


@pytest.mark.parametrize("stage", ["interest", "retriever", "reranker"])
async def test_a_batch_that_hangs_fails_at_its_deadline_naming_the_stage_and_frees_its_slot(stage: str) -> None:
    stages = Stages(stage)
    ranker = ranker_over(stages, in_flight=1)
    async with asyncio.timeout(5):
        for _ in range(2):
            with pytest.raises(StageFailed) as caught:
                await ranker.rank(query("u", time.perf_counter() + 0.01))
            assert (caught.value.stage, caught.value.message) == (stage, "no answer while anyone waited for it")
    assert stages.cancelled == 2


async def test_a_batch_lives_as_long_as_the_most_patient_of_its_queries() -> None:
    stages = Stages("retriever")
    ranker = ranker_over(stages, in_flight=1)
    start = time.perf_counter()
    async with asyncio.timeout(5):
        results = await asyncio.gather(
            ranker.rank(query("hasty", start - 1)), ranker.rank(query("patient", start + 0.2)), return_exceptions=True
        )
    assert time.perf_counter() - start >= 0.2
    assert all(isinstance(result, StageFailed) for result in results)
    assert stages.asked == [["hasty", "patient"]]

"""The dynamic batcher: no waiting while idle, filling while busy, and every request ends exactly once."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from interest.batch import Tensors
from interest.errors import NotReady
from serve.oip.batching import DynamicBatcher
from serve.oip.errors import QueueFull
from serve.oip.message import Answer
from serve.oip.model_config import DynamicBatching, QueuePolicy
from serve.oip.statistics import ModelStatistics, totals


class Doubler:
    """A model that waits for `gate` and fails on negative numbers."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def infer(self, tensors: Tensors) -> Answer:
        values = tensors["x"]
        self.batches.append(values.ravel().tolist())
        await self.gate.wait()
        if (values < 0).any():
            raise ValueError("negative")
        return Answer("1", {"y": 2 * values})


def rows(*values: float) -> Tensors:
    return {"x": np.array(values, dtype=np.float64).reshape(-1, 1)}


def batcher(model: Doubler, name: str = "m", size: int = 8, **settings: object) -> DynamicBatcher:
    return DynamicBatcher(model.infer, size, DynamicBatching(**settings), ModelStatistics(name, "1"))


async def submitted(queue: DynamicBatcher, *values: float, **options: int) -> "asyncio.Task[Answer]":
    task = asyncio.create_task(queue.submit(rows(*values), len(values), **options))
    for _ in range(3):  # the task begins, the batch is made, the model is called
        await asyncio.sleep(0)
    return task


async def test_an_idle_model_starts_at_once_and_a_busy_one_fills_its_next_batch() -> None:
    model = Doubler()
    model.gate.clear()
    queue = batcher(model)
    tasks = [await submitted(queue, 0.0)]
    assert model.batches == [[0.0]]
    tasks += [await submitted(queue, float(number)) for number in range(1, 4)]
    assert model.batches == [[0.0]]
    model.gate.set()
    assert [(await task).tensors["y"].tolist() for task in tasks] == [[[0.0]], [[2.0]], [[4.0]], [[6.0]]]
    assert model.batches == [[0.0], [1.0, 2.0, 3.0]]


async def waiting_behind(model: Doubler, queue: DynamicBatcher) -> "asyncio.Task[Answer]":
    model.gate.clear()
    return await submitted(queue, 0.0)


async def test_of_a_model_that_is_taken_away_each_waiting_caller_hears_it_and_the_batch_under_way_ends() -> None:
    model = Doubler()
    queue = batcher(model)
    running = await waiting_behind(model, queue)
    waiting = [await submitted(queue, float(number)) for number in range(2)]
    closing = asyncio.create_task(queue.close(NotReady("gone")))
    for task in waiting:
        with pytest.raises(NotReady, match="gone"):
            await task
    model.gate.set()
    await closing
    assert (await running).tensors["y"].tolist() == [[0.0]]


async def test_a_preferred_size_is_taken_where_enough_waits() -> None:
    model = Doubler()
    queue = batcher(model, preferred_batch_size=(2, 4))
    first = await waiting_behind(model, queue)
    tasks = [await submitted(queue, float(number)) for number in range(1, 8)]
    model.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in model.batches] == [1, 4, 2, 1]


async def test_a_poisoned_request_fails_alone() -> None:
    model = Doubler()
    queue = batcher(model, "poisoned")
    first = await waiting_behind(model, queue)
    tasks = [await submitted(queue, value) for value in (1.0, -1.0, 2.0)]
    model.gate.set()
    found = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(one) for one in found] == [Answer, Answer, ValueError, Answer]
    counted = totals()["poisoned", "1"]
    assert (counted.number("nv_inference_request_success"), counted.number("nv_inference_request_failure")) == (3, 1)


async def test_an_overloaded_model_is_not_asked_again_for_each_request_of_the_batch() -> None:
    calls = 0

    async def overloaded(tensors: Tensors) -> Answer:
        nonlocal calls
        calls += 1
        raise NotReady("no replica is healthy")

    queue = DynamicBatcher(overloaded, 8, DynamicBatching(), ModelStatistics("away", "1"))
    tasks = [asyncio.create_task(queue.submit(rows(value), 1)) for value in (1.0, 2.0, 3.0)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert ([type(one) for one in found], calls) == ([NotReady] * 3, 1)
    assert totals()["away", "1"].number("nv_inference_request_failure") == 3


async def test_who_left_before_the_batch_was_sent_is_not_computed() -> None:
    model = Doubler()
    queue = batcher(model)
    first = await waiting_behind(model, queue)
    gone, there = await submitted(queue, 1.0), await submitted(queue, 2.0)
    gone.cancel()
    await asyncio.sleep(0)
    model.gate.set()
    await asyncio.gather(first, there)
    assert model.batches == [[0.0], [2.0]]


async def test_urgent_requests_come_first_and_others_grow_urgent_as_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Doubler()
    queue = batcher(model, size=1, priority_levels=5, default_priority_level=3)
    now = 100.0
    monkeypatch.setattr("serve.oip.batching.time.perf_counter", lambda: now)
    first = await waiting_behind(model, queue)
    tasks = [await submitted(queue, 5.0, priority=5)]
    now = 103.0
    tasks += [await submitted(queue, 3.0), await submitted(queue, 1.0, priority=1)]
    tasks += [await submitted(queue, 4.0, priority=4)]
    model.gate.set()
    await asyncio.gather(first, *tasks)
    assert model.batches == [[0.0], [1.0], [5.0], [3.0], [4.0]]


async def test_requests_of_other_shapes_wait_for_a_batch_of_their_own() -> None:
    model = Doubler()
    queue = batcher(model)
    first = await waiting_behind(model, queue)
    wide = asyncio.create_task(queue.submit({"x": np.ones((1, 2))}, 1))
    narrow = [await submitted(queue, 1.0), await submitted(queue, 2.0)]
    model.gate.set()
    await asyncio.gather(first, wide, *narrow)
    assert model.batches == [[0.0], [1.0, 1.0], [1.0, 2.0]]


@pytest.mark.parametrize("bounded", [lambda: QueuePolicy(max_queue_size=2)])
async def test_a_full_queue_refuses_and_says_when_to_come_back(bounded: Callable[[], QueuePolicy]) -> None:
    model = Doubler()
    queue = batcher(model, "full", size=1, default_queue_policy=bounded())
    first = await waiting_behind(model, queue)
    tasks = [await submitted(queue, 1.0), await submitted(queue, 2.0)]
    with pytest.raises(QueueFull, match="maximum queue size") as refused:
        await queue.submit(rows(3.0), 1)
    assert refused.value.status == 503
    assert refused.value.retry_after_s > 0
    model.gate.set()
    await asyncio.gather(first, *tasks)
    assert totals()["full", "1"].number("nv_inference_request_failure") == 1


async def test_a_request_whose_time_in_the_queue_is_over_is_refused_without_being_computed() -> None:
    model = Doubler()
    queue = batcher(model)
    first = await waiting_behind(model, queue)
    late = asyncio.create_task(queue.submit(rows(1.0), 1, timeout_us=1000))
    with pytest.raises(QueueFull, match="timeout expired"):
        await late
    model.gate.set()
    await first
    assert model.batches == [[0.0]]


async def test_a_delayed_request_goes_on_after_all_others() -> None:
    model = Doubler()
    policy = QueuePolicy(timeout_action="DELAY", default_timeout_microseconds=1000)
    queue = batcher(model, size=1, priority_levels=2, default_priority_level=1, priority_queue_policy={2: policy})
    first = await waiting_behind(model, queue)
    delayed = await submitted(queue, 9.0, priority=2)
    while not queue._levels[2][0].late:
        await asyncio.sleep(0.001)
    others = [await submitted(queue, 1.0), await submitted(queue, 2.0)]
    model.gate.set()
    await asyncio.gather(first, delayed, *others)
    assert model.batches == [[0.0], [1.0], [2.0], [9.0]]


async def test_a_model_that_gives_too_few_rows_is_an_error_to_its_callers() -> None:
    async def short(tensors: Tensors) -> Answer:
        return Answer("1", {"y": tensors["x"][:0]})

    queue = DynamicBatcher(short, 8, DynamicBatching(), ModelStatistics("short", "1"))
    with pytest.raises(Exception, match="its first size must be 1"):
        await queue.submit(rows(1.0), 1)


async def test_counts_move_by_what_was_sent() -> None:
    model = Doubler()
    queue = batcher(model, "counted")
    first = await waiting_behind(model, queue)
    tasks = [await submitted(queue, 1.0, 2.0), await submitted(queue, 3.0)]
    model.gate.set()
    await asyncio.gather(first, *tasks)
    await queue.close()
    found = totals()["counted", "1"]
    assert found.number("nv_inference_request_success") == 3
    assert found.number("nv_inference_count") == 4
    assert found.number("nv_inference_exec_count") == 2
    assert found.number("nv_inference_pending_request_count") == 0
    assert {size: one["attune_inference_batches"] for size, one in found.batches.items()} == {1: 1.0, 3: 1.0}


async def test_a_batch_that_all_of_its_callers_have_left_is_computed_no_further() -> None:
    model, stopped = Doubler(), asyncio.Event()

    async def infer(tensors: Tensors) -> Answer:
        try:
            return await model.infer(tensors)
        except asyncio.CancelledError:
            stopped.set()
            raise

    queue = DynamicBatcher(infer, 8, DynamicBatching(), ModelStatistics("stopped", "1"))
    model.gate.clear()
    first, second = [asyncio.create_task(queue.submit(rows(value), 1)) for value in (1.0, 2.0)]
    async with asyncio.timeout(5):
        while model.batches != [[1.0, 2.0]]:
            await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert not stopped.is_set(), "the other still waits"
    second.cancel()
    await asyncio.wait([second])
    async with asyncio.timeout(5):
        await stopped.wait()
    model.gate.set()
    assert (await queue.submit(rows(3.0), 1)).tensors["y"].tolist() == [[6.0]]

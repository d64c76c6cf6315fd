"""The batcher: batches fill while the stage is busy, and nobody's leaving or failing touches the others."""

import asyncio
import contextvars
from collections.abc import Sequence

import pytest

from serve.batcher import Batcher

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


class Stage:
    """Doubles numbers, one batch at a time, each batch let through by the test."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.contexts: list[str] = []
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.contexts.append(REQUEST.get())
        await self.gate.acquire()
        return [ValueError(str(item)) if item < 0 else 2 * item for item in items]


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lone_item_does_not_wait_and_later_ones_fill_one_batch_while_the_stage_is_busy() -> None:
    stage = Stage()
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=8)
    first = asyncio.create_task(batcher.submit(1))
    await turn()
    assert stage.batches == [[1]]
    others = [asyncio.create_task(batcher.submit(item)) for item in (2, 3, 4)]
    await turn()
    assert batcher.waiting == 3
    stage.gate.release()
    stage.gate.release()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert stage.batches == [[1], [2, 3, 4]]


async def test_items_of_one_turn_travel_together_up_to_the_maximum() -> None:
    stage = Stage()
    stage.gate = asyncio.Semaphore(10)
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=3)
    assert await asyncio.gather(*(batcher.submit(item) for item in range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert stage.batches == [[0, 1, 2], [3, 4, 5], [6]]


async def test_a_caller_leaving_mid_batch_leaves_the_others_their_results() -> None:
    stage = Stage()
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=8)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in (1, 2, 3)]
    await turn()
    tasks[0].cancel()
    await turn()
    stage.gate.release()
    assert await asyncio.gather(*tasks[1:]) == [4, 6]
    assert tasks[0].cancelled()


async def test_a_caller_who_left_before_sending_is_not_computed() -> None:
    stage = Stage()
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=8)
    first = asyncio.create_task(batcher.submit(1))
    await turn()
    left, stays = asyncio.create_task(batcher.submit(2)), asyncio.create_task(batcher.submit(3))
    await turn()
    left.cancel()
    stage.gate.release()
    stage.gate.release()
    assert (await first, await stays) == (2, 6)
    assert stage.batches == [[1], [3]]


async def test_a_failing_item_fails_alone_and_a_failing_batch_fails_whole() -> None:
    stage = Stage()
    stage.gate = asyncio.Semaphore(10)
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=8)
    results = await asyncio.gather(batcher.submit(1), batcher.submit(-1), return_exceptions=True)
    assert results[0] == 2
    assert isinstance(results[1], ValueError)

    async def broken(items: Sequence[int]) -> Sequence[int | Exception]:
        return []

    lossy: Batcher[int, int] = Batcher(broken, max_batch_size=8)
    with pytest.raises(RuntimeError, match="0 results for a batch of 1"):
        await lossy.submit(1)


async def test_batches_run_outside_every_callers_context() -> None:
    stage = Stage()
    stage.gate = asyncio.Semaphore(10)
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=1)
    REQUEST.set("caller")
    await asyncio.gather(*(batcher.submit(item) for item in range(3)))
    assert stage.contexts == ["none"] * 3


async def test_a_free_slot_beside_a_busy_one_waits_for_its_share_of_the_callers_who_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve.batcher.PATIENCE", 1e6)
    monkeypatch.setattr("serve.batcher.MOST_PATIENCE_S", 1e6)
    stage = Stage()
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=64, max_in_flight=2)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in range(40)]
    await turn()
    assert [len(batch) for batch in stage.batches] == [20, 20]
    stage.gate.release()
    await turn()
    assert sum(task.done() for task in tasks) == 20
    tasks += [asyncio.create_task(batcher.submit(item)) for item in range(19)]
    await turn()
    assert len(stage.batches) == 2, "one of them is not back yet"
    tasks.append(asyncio.create_task(batcher.submit(19)))
    await turn()
    assert [len(batch) for batch in stage.batches] == [20, 20, 20]
    for _ in range(2):
        stage.gate.release()
    await asyncio.gather(*tasks)


async def test_an_idle_instance_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.batcher.PATIENCE", 1e6)
    monkeypatch.setattr("serve.batcher.MOST_PATIENCE_S", 1e6)
    stage = Stage()
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=64, max_in_flight=3, instances=2)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in range(8)]
    await turn()
    tasks.append(asyncio.create_task(batcher.submit(8)))
    await turn()
    assert [len(batch) for batch in stage.batches] == [8, 1]
    for _ in range(2):
        stage.gate.release()
    await asyncio.gather(*tasks)


async def test_who_waits_for_a_share_waits_no_longer_than_a_part_of_a_batch_or_until_all_slots_are_free() -> None:
    stage = Stage()
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=64, max_in_flight=2)
    first = [asyncio.create_task(batcher.submit(item)) for item in range(8)]
    await turn()
    lone = asyncio.create_task(batcher.submit(8))
    async with asyncio.timeout(5):
        while len(stage.batches) < 2:
            await asyncio.sleep(0)
    assert stage.batches == [list(range(8)), [8]], "no batch has ended yet: its time is none"
    second = asyncio.create_task(batcher.submit(9))
    await turn()
    assert len(stage.batches) == 2
    for _ in range(3):
        stage.gate.release()
    assert await asyncio.gather(*first, lone, second) == [2 * item for item in range(10)]


async def test_closing_waits_for_the_batch_under_way_and_cancels_the_rest() -> None:
    stage = Stage()
    batcher: Batcher[int, int] = Batcher(stage, max_batch_size=1)
    running, waiting = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
    await turn()
    closing = asyncio.create_task(batcher.close())
    await turn()
    assert not closing.done()
    stage.gate.release()
    await closing
    assert await running == 2
    assert waiting.cancelled()

"""The one thread of a stage: work in order, each piece with its own end."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from interest.batch import Tensors
from serve.model import OneThread


@pytest.fixture
def thread() -> Iterator[OneThread]:
    thread = OneThread("tested")
    yield thread
    thread.close()


def answer(number: int) -> Tensors:
    return {"number": np.array([number])}


async def test_work_is_done_in_order_in_one_other_thread(thread: OneThread) -> None:
    done: list[tuple[int, str]] = []

    def work(number: int) -> Tensors:
        done.append((number, threading.current_thread().name))
        return answer(number)

    found = await asyncio.gather(*(thread.run(partial(work, number)) for number in range(5)))
    assert [int(one["number"][0]) for one in found] == list(range(5))
    assert done == [(number, "tested") for number in range(5)]


async def test_an_exception_is_raised_to_its_own_caller_and_the_next_work_is_done(thread: OneThread) -> None:
    def fails() -> Tensors:
        raise RuntimeError("no")

    failing, working = thread.run(fails), thread.run(lambda: answer(1))
    failed, done = await asyncio.gather(failing, working, return_exceptions=True)
    assert isinstance(failed, RuntimeError)
    assert not isinstance(done, BaseException)


async def test_work_that_nobody_waits_for_is_not_begun_and_one_that_was_begun_ends(thread: OneThread) -> None:
    begun, may_end, done = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def first() -> Tensors:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(5)
        done.append("first")
        return {}

    def second() -> Tensors:
        done.append("second")
        return {}

    tasks = [asyncio.ensure_future(thread.run(work)) for work in (first, second)]
    await begun.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    may_end.set()
    assert await thread.run(lambda: answer(3))
    assert done == ["first"]


async def test_closing_waits_for_what_was_asked_and_nothing_can_be_asked_after_it(thread: OneThread) -> None:
    asked = asyncio.ensure_future(thread.run(lambda: answer(1)))
    await asyncio.sleep(0)
    thread.close()
    thread.close()
    assert await asked
    with pytest.raises(RuntimeError, match="closed"):
        await thread.run(lambda: answer(2))


def test_a_loop_that_is_gone_harms_nobody_elses_work(thread: OneThread) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> Tensors:
        begun.set()
        may_end.wait(5)
        return {}

    async def leaves() -> None:
        asyncio.ensure_future(thread.run(work)).cancel()
        task = asyncio.ensure_future(thread.run(work))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()

    asyncio.run(leaves())
    may_end.set()
    assert asyncio.run(thread.run(lambda: answer(1)))

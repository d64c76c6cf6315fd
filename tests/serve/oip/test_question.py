"""Questions to the cluster: one answer for all who wait, recent ones are good enough, trouble is not asked again."""

import asyncio

import pytest

from interest.errors import NotReady
from serve.oip import question
from serve.oip.question import Question


class Cluster:
    """Counts what it is asked; answers when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.trouble = ""

    async def ask(self) -> None:
        self.asked += 1
        await self.may_answer.wait()
        if self.trouble:
            raise NotReady(self.trouble)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(question, "RECENT_S", 60)
    return Cluster()


async def test_callers_who_come_while_one_is_asking_share_the_next_answer(cluster: Cluster) -> None:
    asked = Question(cluster.ask)
    cluster.may_answer.clear()
    waiting = [asyncio.create_task(asked.now()) for _ in range(100)]
    await asyncio.sleep(0)
    waiting += [asyncio.create_task(asked.now()) for _ in range(100)]
    await asyncio.sleep(0)
    cluster.may_answer.set()
    await asyncio.gather(*waiting)
    assert cluster.asked == 2


async def test_a_recent_answer_is_not_asked_for_again_and_now_is_now(cluster: Cluster) -> None:
    asked = Question(cluster.ask)
    await asyncio.gather(*(asked.recent() for _ in range(100)))
    for _ in range(100):
        await asked.recent()
    assert cluster.asked == 1
    await asked.now()
    assert cluster.asked == 2


async def test_an_answer_that_is_old_is_asked_for_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "RECENT_S", 0)
    asked = Question(cluster.ask)
    for _ in range(3):
        await asked.recent()
    assert cluster.asked == 3


async def test_trouble_is_told_to_all_and_is_not_asked_for_again_at_once(cluster: Cluster) -> None:
    asked = Question(cluster.ask)
    cluster.trouble = "the cluster does not answer"
    for _ in range(100):
        with pytest.raises(NotReady, match="does not answer"):
            await asked.recent()
    assert cluster.asked == 1
    cluster.trouble = ""
    await asked.now()
    await asked.recent()
    assert cluster.asked == 2


async def test_trouble_is_told_until_there_is_an_answer_although_a_caller_who_asked_again_has_left(
    cluster: Cluster,
) -> None:
    asked = Question(cluster.ask)
    cluster.trouble = "the cluster does not answer"
    with pytest.raises(NotReady):
        await asked.recent()
    cluster.may_answer.clear()
    leaving = asyncio.create_task(asked.now())
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    with pytest.raises(NotReady, match="does not answer"):
        await asked.recent()
    assert cluster.asked == 2


async def test_when_the_caller_who_asks_leaves_another_asks(cluster: Cluster) -> None:
    asked = Question(cluster.ask)
    cluster.may_answer.clear()
    first, second = (asyncio.create_task(asked.recent()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    cluster.may_answer.set()
    await second
    assert cluster.asked == 2

"""Evaluation jobs: every one ends with a word, also when replica, ranking or store fail; live requests go first."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from interest.catalogue import Catalogue
from interest.errors import AttuneError, InvalidRequest, NotFound, Overloaded
from interest.items import Item
from interest.store.protocol import EvaluationRecord, ItemChange
from serve import evaluations
from serve.config import EvaluationConfig, Limits
from serve.evaluation_schema import EvaluationRequest, EvaluationRow, EvaluationView
from serve.evaluations import INTERRUPTED, SILENT_S, Evaluations
from serve.schema import Recommendation, RecommendationRequest, RecommendedItem


class Store:
    """A store and its reader in memory; fails while it is told to."""

    def __init__(self) -> None:
        self.records: dict[str, EvaluationRecord] = {}
        self.states: list[str] = []
        self.away = False

    async def put_evaluation(self, record: EvaluationRecord) -> None:
        if self.away:
            raise AttuneError("away")
        self.records[record.evaluation_id] = record
        self.states.append(EvaluationView.model_validate_json(record.body).state)

    def evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        return self.records.get(evaluation_id)


class Ranker:
    """Shows everyone "a" and "b"; may be made to wait, or to degrade a number of times."""

    def __init__(self) -> None:
        self.asked: list[RecommendationRequest] = []
        self.at_once = self.most_at_once = 0
        self.degraded = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, request: RecommendationRequest) -> Recommendation:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        self.degraded -= 1
        shown = [RecommendedItem(item_id=item_id, rank=rank + 1, score=1.0) for rank, item_id in enumerate("ab")]
        failed = ["reranker"] if self.degraded >= 0 else []
        return Recommendation(
            id="rec", data=shown, tier="popular" if failed else "full", degraded=failed, model_versions={}
        )


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(evaluations, "RETRY_S", 0.0)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def ranker() -> Ranker:
    return Ranker()


def make(store: Store, ranker: Callable[..., Any], **config: Any) -> Evaluations:
    catalogue = Catalogue()
    items = [Item(item_id=name, title="", available=name != "e") for name in "abcde"]
    catalogue.apply([ItemChange(key + 1, key, item.item_id, item, None, "") for key, item in enumerate(items)])
    settings = EvaluationConfig(**{"enabled": True, **config})
    versions = {"release": "1"}
    return Evaluations(settings, Limits(), ranker, versions, store, store, catalogue)  # type: ignore[arg-type]


def request(rows: int = 2, **changes: Any) -> EvaluationRequest:
    relevant = [["a"], ["z", "z"]]
    made = [EvaluationRow(user_id=f"u{row}", as_of=5.0 + row, relevant_ids=relevant[row % 2]) for row in range(rows)]
    return EvaluationRequest(**{"k": 2, "rows": made, **changes})


async def ended(jobs: Evaluations, evaluation_id: str) -> EvaluationView:
    async with asyncio.timeout(5):
        while (view := await jobs.view(evaluation_id)).state in ("queued", "running"):
            await asyncio.sleep(0.005)
    return view


async def test_every_row_is_ranked_as_of_its_instant_and_measured(store: Store, ranker: Ranker) -> None:
    jobs = make(store, ranker)
    started = await jobs.submit(request(exclude_seen=True))
    assert (started.state, started.done, started.total, started.result) == ("queued", 0, 2, None)
    view = await ended(jobs, started.id)
    assert (view.state, view.done, view.error, view.model_versions) == ("done", 2, None, {"release": "1"})
    assert view.result is not None
    assert view.result.model_dump() == pytest.approx(
        {"precision": 0.25, "recall": 0.5, "f1": 1 / 3, "ndcg": 0.5, "hit_rate": 0.5, "coverage": 0.5}
    )
    assert [(one.user_id, one.as_of, one.count, one.exclude_seen) for one in ranker.asked] == [
        ("u0", 5.0, 2, True),
        ("u1", 6.0, 2, True),
    ]


async def test_no_more_rows_at_once_than_the_config_says_and_one_job_after_the_other(
    store: Store, ranker: Ranker
) -> None:
    jobs = make(store, ranker, concurrency=3)
    ranker.open.clear()
    first, second = await jobs.submit(request(20)), await jobs.submit(request(20))
    await asyncio.sleep(0.05)
    assert [(await jobs.view(one.id)).state for one in (first, second)] == ["running", "queued"]
    ranker.open.set()
    assert {(await ended(jobs, one.id)).state for one in (first, second)} == {"done"}
    assert (ranker.most_at_once, len(ranker.asked)) == (3, 40)
    assert [asked.user_id for asked in ranker.asked] == [f"u{row}" for row in range(20)] * 2


async def test_how_far_it_is_can_be_seen_meanwhile(store: Store, ranker: Ranker) -> None:
    jobs = make(store, ranker, concurrency=1)
    started = await jobs.submit(request(10))
    async with asyncio.timeout(5):
        while len(ranker.asked) < 4:
            await asyncio.sleep(0)
        ranker.open.clear()
        while not 3 <= (view := await jobs.view(started.id)).done < 10:
            await asyncio.sleep(0.005)
    assert view.state == "running"
    ranker.open.set()
    assert (await ended(jobs, started.id)).done == 10


async def test_a_degraded_ranking_is_asked_for_again_and_never_measured(store: Store, ranker: Ranker) -> None:
    jobs = make(store, ranker, concurrency=1)
    ranker.degraded = 2
    assert (await ended(jobs, (await jobs.submit(request())).id)).state == "done"
    ranker.degraded = 3
    view = await ended(jobs, (await jobs.submit(request())).id)
    assert (view.state, view.result) == ("failed", None)
    assert view.error == "rows.0: degraded 3 times, last by reranker"


async def test_whatever_a_ranking_raises_ends_the_job_with_a_word_and_no_user(store: Store) -> None:
    async def breaks(request: RecommendationRequest) -> Recommendation:
        raise ZeroDivisionError(request.user_id)

    jobs = make(store, breaks)
    view = await ended(jobs, (await jobs.submit(request())).id)
    assert (view.state, view.error) == ("failed", "internal error: ZeroDivisionError")


async def test_a_replica_that_is_stopped_says_that_its_jobs_were_interrupted(store: Store, ranker: Ranker) -> None:
    jobs = make(store, ranker)
    ranker.open.clear()
    started = [await jobs.submit(request()) for _ in range(2)]
    await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        await jobs.close()
    views = [await jobs.view(one.id) for one in started]
    assert [(view.state, view.error) for view in views] == [("failed", INTERRUPTED)] * 2


async def test_a_job_whose_replica_was_killed_reads_as_interrupted_once_it_is_silent(
    store: Store, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, other = make(store, ranker), make(store, ranker)
    ranker.open.clear()
    started = await jobs.submit(request())
    await asyncio.sleep(0.03)
    for task in jobs._tasks:  # nothing is written by one that was killed
        store.away = True
        task.cancel()
    assert (await other.view(started.id)).state == "running"
    heard = store.records[started.id].heartbeat_at
    monkeypatch.setattr("serve.evaluations.time.time", lambda: heard + SILENT_S + 1)
    view = await other.view(started.id)
    assert (view.state, view.error) == ("failed", INTERRUPTED)


async def test_a_job_that_the_store_has_not_heard_of_for_long_gives_up(
    store: Store, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "LOST_S", 0.1)
    jobs = make(store, ranker)
    ranker.open.clear()
    await jobs.submit(request())
    store.away = True
    async with asyncio.timeout(5):
        while jobs._tasks:
            await asyncio.sleep(0.01)
    assert ranker.at_once == 0
    assert set(store.states) <= {"queued", "running"}  # silent from here on: to others it is interrupted


async def test_a_store_that_is_away_for_a_moment_costs_nothing(store: Store, ranker: Ranker) -> None:
    jobs = make(store, ranker)
    ranker.open.clear()
    started = await jobs.submit(request())
    store.away = True
    ranker.open.set()
    await asyncio.sleep(0.05)
    store.away = False
    assert (await ended(jobs, started.id)).state == "done"


async def test_nothing_is_computed_that_no_replica_can_see(store: Store, ranker: Ranker) -> None:
    jobs = make(store, ranker)
    store.away = True
    with pytest.raises(AttuneError, match="away"):
        await jobs.submit(request())
    assert (jobs._tasks, ranker.asked) == (set(), [])


async def test_beyond_the_bounds_it_is_refused(store: Store, ranker: Ranker) -> None:
    jobs = make(store, ranker, max_waiting=1, max_rows=3)
    ranker.open.clear()
    with pytest.raises(InvalidRequest, match="rows: 4 rows, at most 3"):
        await jobs.submit(request(4))
    with pytest.raises(InvalidRequest, match="k=101: must be 1 to 100"):
        await jobs.submit(request(k=101))
    for _ in range(2):
        await jobs.submit(request())
    with pytest.raises(Overloaded, match="at most 1 may wait"):
        await jobs.submit(request())
    with pytest.raises(InvalidRequest, match=r"evaluation\.enabled"):
        await make(store, ranker, enabled=False).submit(request())
    with pytest.raises(NotFound):
        await jobs.view("eval_no_such")
    await jobs.close()

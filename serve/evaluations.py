"""Evaluations as a job of one ingress replica: every row through the ordinary pipeline, a few at a time.

The record in the store is all that others see of a job, so any replica can tell how far it is. Whoever computes it
renews the record's heartbeat, queued or running; a record that has been silent for `SILENT_S` belongs to a replica that
is gone, and reads as failed. The replica itself gives up a while before that, so that no job is reported as failed and
done afterwards (as long as the clocks of the nodes agree to a few seconds).
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from interest.batch import ragged_offsets
from interest.catalogue import Catalogue
from interest.errors import AttuneError, InvalidRequest, NotFound, NotReady, Overloaded
from interest.store.protocol import EvaluationRecord, StoreReader
from ranking.evaluation import coverage_of_ids, metrics_of_ids
from serve.config import EvaluationConfig, Limits
from serve.evaluation_schema import EvaluationRequest, EvaluationResult, EvaluationRow, EvaluationView, State
from serve.replies import new_id
from serve.schema import Recommendation, RecommendationRequest
from serve.store_commands import StoreClient

HEARTBEAT_S = 1.0
LOST_S, SILENT_S = 20.0, 30.0  # without a heartbeat: the job gives up; others take it for dead
ATTEMPTS, RETRY_S = 3, 1.0  # of a row whose ranking was degraded: that is not what should be measured
INTERRUPTED = "interrupted: the replica that computed it has stopped"

Answer = Callable[[RecommendationRequest], Awaitable[Recommendation]]

log = logging.getLogger("attune.evaluations")


@dataclass(slots=True)
class _Job:
    """One evaluation under way; only its own task changes it."""

    evaluation_id: str
    request: EvaluationRequest
    model_versions: Mapping[str, str]
    created_at: float = field(default_factory=time.time)
    state: State = "queued"
    done: int = 0
    result: EvaluationResult | None = None
    error: str | None = None
    heard_at: float = field(default_factory=time.monotonic)  # of the last heartbeat that was written

    def view(self) -> EvaluationView:
        return EvaluationView(
            id=self.evaluation_id,
            state=self.state,
            done=self.done,
            total=len(self.request.rows),
            k=self.request.k,
            exclude_seen=self.request.exclude_seen,
            created_at=self.created_at,
            result=self.result,
            error=self.error,
            model_versions=dict(self.model_versions),
        )


class Evaluations:
    """Of one ingress replica: one job at a time, the others wait their turn."""

    def __init__(
        self,
        config: EvaluationConfig,
        limits: Limits,
        answer: Answer,
        model_versions: Mapping[str, str],
        store: StoreClient,
        reader: StoreReader,
        catalogue: Catalogue,
    ) -> None:
        """`answer` gives a recommendation and leaves no trace of it."""
        self._config = config
        self._limits = limits
        self._answer = answer
        self._versions = model_versions
        self._store = store
        self._reader = reader
        self._catalogue = catalogue
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, request: EvaluationRequest) -> EvaluationView:
        """Starts the job once every replica can see it. Raises `InvalidRequest`, or `Overloaded` when many wait."""
        self._check(request)
        job = _Job(new_id("eval"), request, self._versions)
        await self._write(job)
        # Its own context: Ray Serve would cancel the job's calls with the request that started it.
        task = asyncio.get_running_loop().create_task(self._run(job), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job.view()

    async def view(self, evaluation_id: str) -> EvaluationView:
        """Where it stands, whichever replica computes it. Raises `NotFound`."""
        record = await asyncio.to_thread(self._reader.evaluation, evaluation_id)
        if record is None:
            raise NotFound("evaluation id: no such evaluation", "id")
        view = EvaluationView.model_validate_json(record.body)
        if view.state in ("queued", "running") and time.time() - record.heartbeat_at > SILENT_S:
            return view.model_copy(update={"state": "failed", "error": INTERRUPTED})
        return view

    async def close(self) -> None:
        """Ends the jobs; their records say so."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _check(self, request: EvaluationRequest) -> None:
        if not self._config.enabled:
            raise InvalidRequest("evaluation: switched off in this server's config (evaluation.enabled)")
        if len(request.rows) > self._config.max_rows:
            raise InvalidRequest(f"rows: {len(request.rows)} rows, at most {self._config.max_rows}", "rows")
        if request.k > self._limits.max_count:
            raise InvalidRequest(f"k={request.k}: must be 1 to {self._limits.max_count}", "k")
        if len(self._tasks) > self._config.max_waiting:
            raise Overloaded(f"{len(self._tasks)} evaluations under way: at most {self._config.max_waiting} may wait")

    async def _run(self, job: _Job) -> None:
        try:
            measured = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(job, measured))
                async with self._turn:
                    job.state = "running"
                    job.result = await self._measured(job)
                measured.set()  # and not a cancellation: no earlier record may be written after the last one
            job.state = "done"
        except asyncio.CancelledError:
            job.state, job.error = "failed", INTERRUPTED
        except Exception as failure:  # whatever it is: a job must end with a word
            cause = failure
            while isinstance(cause, ExceptionGroup):
                cause = cause.exceptions[0]
            log.error("an evaluation failed", exc_info=cause)
            job.state = "failed"
            job.error = cause.message if isinstance(cause, AttuneError) else f"internal error: {type(cause).__name__}"
        await self._write_last(job)

    async def _measured(self, job: _Job) -> EvaluationResult:
        """Ranks every row, `concurrency` at a time, each for as long as live requests make it wait."""
        rows = job.request.rows
        rankings: list[list[str]] = [[] for _ in rows]
        left = iter(enumerate(rows))

        async def some() -> None:
            for place, row in left:
                rankings[place] = await self._ranked(job.request, place, row)
                job.done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._config.concurrency, len(rows))):
                group.create_task(some())
        return await asyncio.to_thread(self._result, job.request, rankings)

    async def _ranked(self, asked: EvaluationRequest, place: int, row: EvaluationRow) -> list[str]:
        request = RecommendationRequest(
            user_id=row.user_id,
            count=asked.k,
            as_of=row.as_of,
            exclude_seen=asked.exclude_seen,
            timeout_ms=self._limits.max_timeout_ms,
        )
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(RETRY_S)
            reply = await self._answer(request)
            if not reply.degraded:
                return [item.item_id for item in reply.data]
        raise NotReady(f"rows.{place}: degraded {ATTEMPTS} times, last by {', '.join(reply.degraded)}")

    def _result(self, request: EvaluationRequest, rankings: list[list[str]]) -> EvaluationResult:
        relevant = [sorted(set(row.relevant_ids)) for row in request.rows]
        offsets = ragged_offsets([len(part) for part in relevant])
        metrics = metrics_of_ids(rankings, offsets, [item_id for part in relevant for item_id in part], request.k)
        available = int(self._catalogue.view().available.sum())
        return EvaluationResult(**metrics.means(), coverage=coverage_of_ids(rankings, available))

    async def _beat(self, job: _Job, measured: asyncio.Event) -> None:
        """Raises `NotReady` when nothing could be written for so long that others will take the job for dead."""
        while not await _set_within(measured, HEARTBEAT_S):
            try:
                async with asyncio.timeout(LOST_S):
                    await self._write(job)
            except (AttuneError, TimeoutError) as error:
                log.warning("the progress of an evaluation was not written: %r", error)
            if time.monotonic() - job.heard_at > LOST_S:
                raise NotReady("interrupted: the store did not answer")

    async def _write_last(self, job: _Job) -> None:
        """Tries for as long as nobody takes the job for dead; after that they are right."""
        while time.monotonic() - job.heard_at < LOST_S:
            try:
                async with asyncio.timeout(LOST_S / 2):
                    await self._write(job)
                return
            except (AttuneError, TimeoutError) as error:
                log.warning("the end of an evaluation was not written: %r", error)
            await asyncio.sleep(HEARTBEAT_S)

    async def _write(self, job: _Job) -> None:
        sent_at, body = time.monotonic(), job.view().model_dump_json(exclude_none=True)
        record = EvaluationRecord(evaluation_id=job.evaluation_id, heartbeat_at=time.time(), body=body)
        await self._store.put_evaluation(record)
        job.heard_at = sent_at


async def _set_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Not by `asyncio.wait_for`: in Python 3.11 it loses a cancellation that comes as its work ends, and a task group
    that ends one of its tasks then waits for it for ever.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True

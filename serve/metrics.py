"""Prometheus metrics: one file a process in a shared folder, merged over the replicas of a node when asked for.

`PROMETHEUS_MULTIPROC_DIR` must be in the environment before this module is imported: serve/ray_cluster.py sees to it
for a server of its own, `attune ray-env` for the nodes of a cluster. Without it the metrics are those of this process
alone.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as _generate_latest
from prometheus_client import multiprocess as _multiprocess

CONTENT_TYPE = CONTENT_TYPE_LATEST
_TRITON_TOTAL = re.compile(rb"\b(nv_inference_\w+?)_total\b")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MODEL = ["model", "version"]
ROWS = [*MODEL, "rows"]
COMPUTE_PARTS = ("compute_input", "compute_infer", "compute_output")
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

REQUESTS = Counter("attune_requests_total", "HTTP requests by route and status.", ["route", "status"])
REQUEST_SECONDS = Histogram("attune_request_duration_seconds", "Whole requests.", ["route"], buckets=SECONDS)
STAGE_SECONDS = Histogram(
    "attune_stage_duration_seconds", "One stage, as its caller sees it.", ["stage"], buckets=SECONDS
)
STAGE_FAILURES = Counter("attune_stage_failures_total", "Stage calls that raised or ran out of time.", ["stage"])
STAGE_CALLS = Counter(
    "attune_stage_calls_total",
    "Calls of a stage by the way they took: straight to a replica, or by Ray.",
    ["stage", "way"],
)
BATCH_SIZE = Histogram("attune_batch_size", "Users in one batch.", buckets=SIZES)
TIERS = Counter("attune_recommendations_total", "Recommendations by the tier that served them.", ["tier"])
SHED = Counter("attune_shed_total", "Requests refused because every permit was taken.")
GENERATED = Counter("attune_generated_total", "Texts by what became of them.", ["source", "result"])
TOKENS = Counter("attune_tokens_total", "Tokens of the language model.", ["kind"])
EVENTS = Counter("attune_events_total", "Events by what became of them.", ["result"])
IMPRESSIONS = Counter("attune_impressions_total", "Impressions by what became of them.", ["result"])
SNAPSHOTS = Counter("attune_snapshots_total", "Rankings kept for next pages, by what became of them.", ["result"])
IN_FLIGHT = Gauge("attune_in_flight_requests", "Requests holding a permit.", multiprocess_mode="livesum")
GENERATING = Gauge("attune_generating_texts", "Texts being written right now.", multiprocess_mode="livesum")
ENGINE_PREFIX_TOKENS = Gauge(
    "attune_engine_prefix_cache_tokens",
    "Prompt tokens looked up in the prefix cache.",
    ["found"],
    multiprocess_mode="livesum",
)
INFERENCE_SUCCESS = Counter("nv_inference_request_success", "Requests that a model answered.", MODEL)
INFERENCE_FAILURE = Counter("nv_inference_request_failure", "Requests that it did not, by reason.", [*MODEL, "reason"])
INFERENCE_COUNT = Counter("nv_inference_count", "Rows computed: a batch of n counts n.", MODEL)
INFERENCE_EXECUTIONS = Counter("nv_inference_exec_count", "Batches computed.", MODEL)
INFERENCE_PENDING = Gauge(
    "nv_inference_pending_request_count", "Requests that wait or run.", MODEL, multiprocess_mode="livesum"
)
INFERENCE_US = {
    part: Counter(f"nv_inference_{part}_duration_us", f"Microseconds, summed over requests: {part}.", MODEL)
    for part in ("request", "queue", "compute_input", "compute_infer", "compute_output")
}
INFERENCE_LAST_MS = Gauge(
    "attune_inference_last_unix_ms", "When a model last answered.", MODEL, multiprocess_mode="max"
)
INFERENCE_BATCHES = Counter("attune_inference_batches", "Batches by their rows.", ROWS)
INFERENCE_BATCH_US = {
    part: Counter(f"attune_inference_batch_{part}_us", f"Microseconds of batches by their rows: {part}.", ROWS)
    for part in COMPUTE_PARTS
}
FOLLOWED_SEQ = Gauge("attune_followed_seq", "Sequence number applied.", ["stage"], multiprocess_mode="livemin")


@cache
def request_counters(route: str, status: int) -> tuple[Counter, Histogram]:
    """Found once: finding them by their labels takes as long as counting. As many as there are routes and statuses."""
    return REQUESTS.labels(route, str(status)), REQUEST_SECONDS.labels(route)


@dataclass(frozen=True, slots=True)
class ModelCounters:
    """Those of one version of one model, and of its batches of so many rows."""

    success: Counter
    rows: Counter
    executions: Counter
    queue_us: Counter
    request_us: Counter
    parts_us: tuple[Counter, ...]  # compute_input, compute_infer, compute_output
    last_ms: Gauge
    batches: Counter
    batch_parts_us: tuple[Counter, ...]


@cache
def model_counters(model: str, version: str, rows: int) -> ModelCounters:
    """Found once, as `request_counters` are."""
    labels, of_batch = (model, version), (model, version, str(rows))
    return ModelCounters(
        success=INFERENCE_SUCCESS.labels(*labels),
        rows=INFERENCE_COUNT.labels(*labels),
        executions=INFERENCE_EXECUTIONS.labels(*labels),
        queue_us=INFERENCE_US["queue"].labels(*labels),
        request_us=INFERENCE_US["request"].labels(*labels),
        parts_us=tuple(INFERENCE_US[part].labels(*labels) for part in COMPUTE_PARTS),
        last_ms=INFERENCE_LAST_MS.labels(*labels),
        batches=INFERENCE_BATCHES.labels(*of_batch),
        batch_parts_us=tuple(INFERENCE_BATCH_US[part].labels(*of_batch) for part in COMPUTE_PARTS),
    )


@contextmanager
def stage_timer(stage: str) -> Iterator[None]:
    """Times a stage, failures included, and counts the failures."""
    start = time.perf_counter()
    try:
        yield
    except BaseException:
        STAGE_FAILURES.labels(stage).inc()
        raise
    finally:
        STAGE_SECONDS.labels(stage).observe(time.perf_counter() - start)


def render() -> bytes:
    """The exposition text of every live process that shares this node's folder.

    Triton's names do not end in `_total`, which this library adds to those of all counters.
    """
    return _TRITON_TOTAL.sub(rb"\1", _generate_latest(_registry()))


def samples(prefix: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of the metrics whose names begin so, summed over the processes as `render` does."""
    for family in _registry().collect():
        if family.name.startswith(prefix):
            for sample in family.samples:
                yield sample.name.removesuffix("_total"), sample.labels, sample.value


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    _forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    registry = CollectorRegistry()
    _multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _forget_the_dead(folder: Path) -> None:
    """Remove the live gauges of processes that are gone: one that was killed could not do it, and counts for ever."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)  # another replica may be rendering too

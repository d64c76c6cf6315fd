"""What every model has done, under Triton's names; summed over the processes of a node when asked for."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from serve import metrics

MIN_DRAIN_S, MAX_DRAIN_S = 0.05, 30.0


class Failure(StrEnum):
    """Triton's reasons."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Execution:
    """One batch: requests that were answered, rows, seconds that its requests waited in all, seconds of its parts."""

    requests: int
    rows: int
    queued_s: float
    input_s: float
    infer_s: float
    output_s: float

    @property
    def compute_s(self) -> float:
        return self.input_s + self.infer_s + self.output_s


class ModelStatistics:
    """Counts one model: under `version`, where an execution does not say which one it was."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = (model, version)
        self._seconds_a_request = 0.0  # of a slot, lately
        self._pending = metrics.INFERENCE_PENDING.labels(*self._labels)
        metrics.INFERENCE_SUCCESS.labels(*self._labels)  # there from the start, as zeros
        metrics.INFERENCE_COUNT.labels(*self._labels)
        metrics.INFERENCE_EXECUTIONS.labels(*self._labels)

    def executed(self, batch: Execution, version: str = "") -> None:
        """Durations count once for each request of a batch, as Triton counts them."""
        model, counted = self._labels
        counters, requests = metrics.model_counters(model, version or counted, batch.rows), batch.requests
        counters.success.inc(requests)
        counters.rows.inc(batch.rows)
        counters.executions.inc()
        for place, seconds in enumerate((batch.input_s, batch.infer_s, batch.output_s)):
            if seconds:  # counting nothing takes as long as counting
                counters.parts_us[place].inc(1e6 * seconds * requests)
                counters.batch_parts_us[place].inc(1e6 * seconds)
        if batch.queued_s:
            counters.queue_us.inc(1e6 * batch.queued_s)
        counters.request_us.inc(1e6 * (batch.queued_s + batch.compute_s * requests))
        counters.last_ms.set(1000 * time.time())
        counters.batches.inc()
        self._seconds_a_request = 0.8 * self._seconds_a_request + 0.2 * batch.compute_s / max(requests, 1)

    def failed(self, reason: Failure, requests: int = 1) -> None:
        metrics.INFERENCE_FAILURE.labels(*self._labels, reason.value).inc(requests)

    @contextmanager
    def pending(self) -> Iterator[None]:
        """Around a request that waits or runs."""
        self._pending.inc()
        try:
            yield
        finally:
            self._pending.dec()

    def drain_s(self, requests: int) -> float:
        """Seconds until about a tenth of so many requests will be done, at the speed of the latest batches."""
        return min(max(self._seconds_a_request * max(1, requests / 10), MIN_DRAIN_S), MAX_DRAIN_S)


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of one version of one model."""

    values: dict[str, float]  # by metric, failures over all reasons
    batches: dict[int, dict[str, float]]  # by rows, then by metric

    def number(self, name: str) -> int:
        return round(self.values.get(name, 0.0))


NOTHING = Totals({}, {})


def totals() -> dict[tuple[str, str], Totals]:
    """By (model, version), over all replicas of this node."""
    found: dict[tuple[str, str], Totals] = defaultdict(lambda: Totals({}, defaultdict(dict)))
    for name, labels, value in (*metrics.samples("nv_inference_"), *metrics.samples("attune_inference_")):
        one = found[labels["model"], labels["version"]]
        if "rows" in labels:
            one.batches[int(labels["rows"])][name] = value
        else:
            one.values[name] = one.values.get(name, 0.0) + value
    return dict(found)


def as_json(model: str, version: str, found: Totals) -> dict[str, Any]:
    """One entry of Triton's `model_stats`; nanoseconds, as there."""
    success = found.number("nv_inference_request_success")

    def lasting(part: str) -> dict[str, int]:
        return {"count": success, "ns": 1000 * found.number(f"nv_inference_{part}_duration_us")}

    return {
        "name": model,
        "version": version,
        "last_inference": found.number("attune_inference_last_unix_ms"),
        "inference_count": found.number("nv_inference_count"),
        "execution_count": found.number("nv_inference_exec_count"),
        "inference_stats": {
            "success": lasting("request"),
            "fail": {"count": found.number("nv_inference_request_failure"), "ns": 0},
            "queue": lasting("queue"),
            **{part: lasting(part) for part in metrics.COMPUTE_PARTS},
            "cache_hit": {"count": 0, "ns": 0},
            "cache_miss": {"count": 0, "ns": 0},
        },
        "batch_stats": [_batches(rows, numbers) for rows, numbers in sorted(found.batches.items())],
    }


def _batches(rows: int, numbers: dict[str, float]) -> dict[str, Any]:
    count = round(numbers.get("attune_inference_batches", 0.0))
    return {
        "batch_size": rows,
        **{
            part: {"count": count, "ns": round(1000 * numbers.get(f"attune_inference_batch_{part}_us", 0.0))}
            for part in metrics.COMPUTE_PARTS
        },
    }

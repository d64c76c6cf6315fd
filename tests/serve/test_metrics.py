"""Metrics of several processes: counters outlive their process, live gauges do not, not even after a kill."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serve import metrics

REPLICA = """
import sys
from serve.metrics import FOLLOWED_SEQ, IN_FLIGHT, SHED

IN_FLIGHT.inc(int(sys.argv[1]))
FOLLOWED_SEQ.labels("retriever").set(int(sys.argv[1]))
SHED.inc()
print("up", flush=True)
sys.stdin.read()
"""


def replica(folder: Path, number: int) -> subprocess.Popen[str]:
    """A process that reports `number`, and lives until it is killed or its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", REPLICA, str(number)],
        env={"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": "."},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def values(text: bytes) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_a_killed_replica_leaves_its_counts_and_takes_its_live_gauges_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with replica(tmp_path, 3) as killed, replica(tmp_path, 40) as alive:
        both = values(metrics.render())
        assert both["attune_in_flight_requests"] == 43
        assert both['attune_followed_seq{stage="retriever"}'] == 3
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        one = values(metrics.render())
        assert one["attune_in_flight_requests"] == 40
        assert one['attune_followed_seq{stage="retriever"}'] == 40
        assert one["attune_shed_total"] == 2
        alive.kill()

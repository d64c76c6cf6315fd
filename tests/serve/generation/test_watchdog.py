"""The watchdog: after kill -9 of an owner nothing that it started lives on, the watchdog included."""

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from serve.generation.watchdog import Watchdog, watch

SLEEP = "import time; time.sleep(60)"
CHILD = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', '{SLEEP}']); time.sleep(60)"
OWNER = f"""
import subprocess, sys, time
from serve.generation.watchdog import Watchdog
watchdog = Watchdog(poll_s=0.1) if {{watched}} else None
subprocess.Popen([sys.executable, "-c", {CHILD!r}], start_new_session=True)
print("up", flush=True)
time.sleep(60)
"""


def ended(process: psutil.Process) -> bool:
    """Gone, or a zombie that only waits for a parent to read its status."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: object, seconds: float) -> bool:
    assert callable(condition)
    end = time.perf_counter() + seconds
    while not condition() and time.perf_counter() < end:
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture
def tree(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """An owner with a child and a grandchild (and, when watched, a watchdog), all up."""
    watched: bool = request.param
    with subprocess.Popen([sys.executable, "-c", OWNER.format(watched=watched)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        wanted = 3 if watched else 2
        assert wait_until(lambda: len(psutil.Process(owner.pid).children(recursive=True)) == wanted, 10)
        time.sleep(0.5 if watched else 0.0)  # so that the watchdog has seen the tree once
        family = psutil.Process(owner.pid).children(recursive=True)
        yield owner, family
        for process in family:
            if not ended(process):
                process.kill()
        owner.kill()


@pytest.mark.parametrize("tree", [True], indirect=True)
def test_a_killed_owner_leaves_no_process_behind(
    tree: tuple[subprocess.Popen[bytes], list[psutil.Process]],
) -> None:
    owner, family = tree
    owner.kill()
    owner.wait()
    assert wait_until(lambda: all(ended(process) for process in family), 5)


@pytest.mark.parametrize("tree", [False], indirect=True)
def test_without_a_watchdog_the_same_tree_lives_on(
    tree: tuple[subprocess.Popen[bytes], list[psutil.Process]],
) -> None:
    owner, family = tree
    owner.kill()
    owner.wait()
    assert not wait_until(lambda: any(ended(process) for process in family), 0.5)


def test_closing_a_watchdog_ends_it_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as child:
        watchdog = Watchdog(poll_s=0.1)
        sidecar = psutil.Process(watchdog.pid)
        watchdog.close()
        watchdog.close()
        assert ended(sidecar)
        assert child.poll() is None
        child.kill()


def test_a_later_process_with_the_number_of_the_owner_is_not_taken_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as other:
        watch(other.pid, psutil.Process(other.pid).create_time() - 10.0, poll_s=0.01)
        assert other.poll() is None
        other.kill()

"""An acknowledged event survives kill -9 of its writer; a writer that acknowledges too early is found out."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interest.store.open import open_reader, open_writer

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[3]
ENOUGH = 60  # acknowledged events before the writer is killed


def acknowledged_and_kept(folder: Path, way: str) -> tuple[set[str], set[str]]:
    """Ids that the killed process called durable, and ids that are in the database opened anew."""
    url = f"sqlite:///{folder / 'attune.db'}"
    command = [sys.executable, "-m", "tests.interest.store.appending_child", way, url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = {child.stdout.readline().strip() for _ in range(ENOUGH)}
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().split("\n")
    acknowledged.update(lines[:-1])  # a last line without its end was never fully told
    open_writer(url).close()
    reader = open_reader(url)
    users = reader.user_ids()
    kept = {event.event_id for user_id in users for event in reader.events_of(user_id, limit=1_000_000)}
    assert sum(profile.events for profile in reader.profiles(users)) == len(kept), "profile and log went apart"
    reader.close()
    assert child.returncode == -signal.SIGKILL
    assert len(acknowledged) >= ENOUGH
    return acknowledged, kept


@pytest.mark.parametrize("way", ["one_by_one", "together"])
def test_every_acknowledged_event_is_there_after_kill_9(tmp_path: Path, way: str) -> None:
    acknowledged, kept = acknowledged_and_kept(tmp_path, way)
    assert acknowledged <= kept


def test_the_check_finds_a_writer_that_acknowledges_before_its_commit(tmp_path: Path) -> None:
    acknowledged, kept = acknowledged_and_kept(tmp_path, "too_early")
    assert not acknowledged <= kept

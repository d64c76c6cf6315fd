"""Ids: never the same, in the order of their making, and telling when that was."""

import time

import pytest

from serve.replies import made_at, new_id


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time()
    made = made_at("rec", new_id("rec"))
    assert made is not None
    assert before - 1e-3 <= made <= time.time()


def test_ids_differ_and_later_ones_are_greater(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({new_id("rec") for _ in range(1_000)}) == 1_000
    earlier = new_id("rec")
    later = time.time() + 0.002
    monkeypatch.setattr("serve.replies.time.time", lambda: later)
    assert new_id("rec") > earlier


@pytest.mark.parametrize("foreign", ["", "rec_", "rec_" + "0" * 31, "rec_" + "g" * 32, "gen_" + "0" * 32, "x/../y"])
def test_what_is_no_id_of_ours_was_made_at_no_time(foreign: str) -> None:
    assert made_at("rec", foreign) is None

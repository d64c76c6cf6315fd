"""Permits are counted exactly, come back on failure, and the Retry-After follows the drain rate."""

import pytest

from interest.errors import DeadlineExceeded, Overloaded
from serve.admission import MAX_RETRY_AFTER_S, Deadline, Permits


def test_a_request_beyond_the_limit_is_refused_with_the_limit_in_the_message() -> None:
    permits = Permits(limit=1)
    with permits.hold(), pytest.raises(Overloaded, match="1 requests in flight: the limit is 1"), permits.hold():
        pass
    with permits.hold():
        assert permits.in_flight == 1


def test_a_failing_request_gives_its_permit_back() -> None:
    permits = Permits(limit=1)
    with pytest.raises(ValueError, match="broken"), permits.hold():
        raise ValueError("broken")
    assert permits.in_flight == 0


def test_the_retry_after_is_short_when_permits_come_back_quickly() -> None:
    permits = Permits(limit=10)
    assert permits.retry_after_s() == 1.0
    for _ in range(20):
        with permits.hold():
            pass
    assert 0 < permits.retry_after_s() < 1.0 < MAX_RETRY_AFTER_S


def test_a_deadline_gives_shares_and_says_when_it_has_passed() -> None:
    deadline = Deadline(10.0)
    assert deadline.share_s(0.5) <= 5.0
    deadline.check("rank")
    with pytest.raises(DeadlineExceeded, match="rank: the deadline of 0 ms has passed"):
        Deadline(0.0).check("rank")
    with pytest.raises(DeadlineExceeded):
        deadline.check("rank", margin_s=11.0)


def test_who_takes_several_permits_is_refused_when_so_many_are_not_free() -> None:
    permits = Permits(limit=4)
    with permits.hold(), permits.hold(3):
        assert permits.in_flight == 4
    with permits.hold(), pytest.raises(Overloaded), permits.hold(4):
        pass
    assert permits.in_flight == 0


def test_who_wants_more_permits_than_there_are_is_let_in_alone() -> None:
    permits = Permits(limit=2)
    with permits.hold(5):
        assert permits.in_flight == 2
    with permits.hold(), pytest.raises(Overloaded), permits.hold(5):
        pass

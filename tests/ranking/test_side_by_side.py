"""Parts of a long work in threads: their order, their progress, their errors."""

import threading
import time

import pytest

from ranking.side_by_side import side_by_side


def test_results_come_in_the_order_of_the_parts_whichever_ends_first() -> None:
    second_done = threading.Event()

    def work(part: int) -> int:
        if part == 0:
            assert second_done.wait(30)
        else:
            second_done.set()
        return part * 10

    heard: list[tuple[int, int]] = []
    assert side_by_side(work, [0, 1, 2], 2, lambda done, total: heard.append((done, total))) == [0, 10, 20]
    assert heard == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_first_error_is_raised_and_later_parts_are_not_begun() -> None:
    begun: list[int] = []

    def work(part: int) -> None:
        begun.append(part)
        if part == 0:
            raise ValueError("part 0")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="part 0"):
        side_by_side(work, range(1_000), 1, lambda done, total: None)
    assert len(begun) < 1_000


def test_nothing_to_do_is_nothing_done() -> None:
    assert side_by_side(lambda part: part, [], 2, lambda done, total: None) == []

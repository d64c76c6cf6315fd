"""What every replica does as it starts."""

import logging
from collections.abc import Iterator

import pytest

from serve.deployments import log_with_ray


@pytest.fixture
def loggers() -> Iterator[tuple[logging.Logger, logging.Logger]]:
    """Ray Serve's and ours, as they were before when the test is over."""
    both = logging.getLogger("ray.serve"), logging.getLogger("attune")
    before = [(one.level, one.propagate, list(one.handlers)) for one in both]
    yield both
    for one, (level, propagate, handlers) in zip(both, before, strict=True):
        one.setLevel(level)
        one.propagate = propagate
        one.handlers[:] = handlers


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_our_lines_go_once_where_those_of_ray_go(loggers: tuple[logging.Logger, logging.Logger]) -> None:
    rays, _ = loggers
    kept = Kept()
    rays.handlers[:] = [kept]
    rays.setLevel(logging.INFO)
    for _ in range(2):  # a process may start more than one of our classes
        log_with_ray()
    logging.getLogger("attune.models").info("loaded %s", "scaler")
    logging.getLogger("attune.models").debug("a detail")
    assert kept.lines == ["loaded scaler"]

"""What end-to-end tests wait with."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it comes true within so many seconds."""
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        if condition():
            return True
        time.sleep(0.02)
    return condition()

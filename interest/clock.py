"""Clock: the one "now" of a server, either the wall's or that of historical data."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

HISTORICAL_AFTER_S = 30 * 86_400.0  # data whose newest event is older than this are served as of their own end

Mode = Literal["auto", "wall", "data"]


@dataclass(frozen=True, slots=True)
class Clock:
    """All times are unix seconds. In `data` mode now is `base` plus the wall time since `started_at`."""

    mode: Literal["wall", "data"]
    base: float
    started_at: float
    quantum_s: float = 300.0
    wall: Callable[[], float] = field(default=time.time, compare=False, repr=False)

    @classmethod
    def choose(cls, mode: Mode, imported_until: float | None, wall: float, quantum_s: float = 300.0) -> Self:
        """The clock for data whose newest imported event is at `imported_until` when the wall says `wall`.

        `auto` means `data` when that event is more than 30 days old. Without one the data are served as of `wall`.
        """
        if mode == "auto":
            historical = imported_until is not None and wall - imported_until > HISTORICAL_AFTER_S
            return cls.choose("data" if historical else "wall", imported_until, wall, quantum_s)
        base = imported_until if mode == "data" and imported_until is not None else wall
        return cls(mode=mode, base=base, started_at=wall, quantum_s=quantum_s)

    def now(self) -> float:
        wall = self.wall()
        return wall if self.mode == "wall" else self.base + (wall - self.started_at)

    def quantised(self, instant: float) -> float:
        """The latest multiple of `quantum_s` that is not after `instant`, so that near instants share results."""
        return math.floor(instant / self.quantum_s) * self.quantum_s

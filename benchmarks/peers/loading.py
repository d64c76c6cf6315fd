"""The same rounds of load for whatever servers take turns, and what is reported of them."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from benchmarks.peers.asking import BODIES
from benchmarks.peers.measuring import Round, Served, measured
from benchmarks.peers.servers import Exchanges

Report = dict[str, Any]


class Load:
    """The same rounds for whatever server."""

    def __init__(
        self,
        console: Console,
        connections: Sequence[int],
        rounds: int,
        seconds: float,
        warm_s: float,
        write: Callable[[], None],
    ) -> None:
        """`write` is called whenever there are new numbers."""
        self._console = console
        self._connections = connections
        self._rounds = rounds
        self._seconds = seconds
        self._warm_s = warm_s
        self._write = write

    def fill(self, found: Report, servers: Sequence[Served], exchanges: Exchanges, what: str) -> None:
        """`found` by body, by connections, by server; the servers take turns within every round."""
        for body in BODIES:
            if not all(exchanges(served.name, body) for served in servers):
                continue  # none in this form
            found[body] = {}
            for number in self._connections:
                rows: dict[str, list[Round]] = {served.name: [] for served in servers}
                for _ in range(self._rounds):
                    for served in servers:
                        asked = exchanges(served.name, body)
                        rows[served.name].append(measured(served, asked, number, self._warm_s, self._seconds))
                found[body][str(number)] = {name: summed(each) for name, each in rows.items()}
                rates = ", ".join(f"{name} {summed(each)['requests_per_s']:,.0f}/s" for name, each in rows.items())
                self._console.print(f"{what} stages, {body}, {number} connections: {rates}", highlight=False)
                self._write()


def summed(rounds: Sequence[Round]) -> Report:
    """Medians over the rounds, and the rounds themselves."""
    medians = {
        name: statistics.median(getattr(one, name) for one in rounds) for name in ("requests_per_s", "p50_ms", "p99_ms")
    }
    return {**medians, "rounds": [one.to_json() for one in rounds]}

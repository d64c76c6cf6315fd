"""The README's table of servers side by side, made from the committed JSON and from nothing else.

python -m benchmarks.peers.table          # rewrites the text between the two markers of README.md
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.readme_table import README, RESULTS, markdown

START, END = "<!-- peers:start -->", "<!-- peers:end -->"
Report = Mapping[str, Any]


def main() -> None:
    """Rewrite README.md in place."""
    report = json.loads((RESULTS / "triton.json").read_text())
    README.write_text(updated(README.read_text(), report))


def updated(readme: str, report: Report) -> str:
    """The README with the table between its markers. Raises `ValueError` without the markers."""
    before, _, rest = readme.partition(START)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"README: the lines {START} and {END} are missing")
    machine = report["machine"]
    limits = ", ".join(f"{limit:,.0f} at {number}" for number, limit in report["generator_limit"].items())
    where = (
        f"Measured on {machine['cores']} cores at commit {machine['commit']} on {machine['date']}, load "
        f"{machine['load_before']:.1f} before; medians of {report['rounds']} rounds of {report['seconds']:g} s, the "
        f"servers in turn; load generator's own limit, requests/s by connections: {limits}."
    )
    return f"{before}{START}\n{markdown(rows(report))}\n\n{where}\n{END}{after}"


def rows(report: Report) -> list[Sequence[str]]:
    """A row a kind of stages, of body, and a number of connections."""
    found: list[Sequence[str]] = [
        ("stages, body, connections", "Triton, requests/s", "Attune", "ratio", "Triton, p50 / p99 ms", "Attune")
    ]
    for stages, bodies in report["stages"].items():
        for body, by_number in bodies.items() if "missing" not in bodies else ():
            for number, both in by_number.items():
                peer, own = both["triton"], both["attune"]
                ratio = report["ratios"][stages][body][number]
                label = f"{stages}, {body}, {number}"
                found.append((label, _rate(peer), _rate(own), f"{ratio:.2f}", _latency(peer), _latency(own)))
    for name, bodies in report["others"].items():
        for body, by_number in bodies.items() if "missing" not in bodies else ():
            for number, one in by_number.items():
                cells = (_rate(one[name]), "-", "-", _latency(one[name]), "-")
                found.append((f"trivial, {body}, {number}: {name} instead of Triton", *cells))
    return found


def _rate(one: Report) -> str:
    return f"{one['requests_per_s']:,.0f}"


def _latency(one: Report) -> str:
    return f"{one['p50_ms']:.1f} / {one['p99_ms']:.1f}"


if __name__ == "__main__":
    main()

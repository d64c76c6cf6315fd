"""The tables of how well the demo model copies, made from the committed JSON and from nothing else.

python -m benchmarks.demo_model_table    # rewrites what is between the markers of README.md and of the model's card
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.readme_table import README, RESULTS, markdown
from serve.generation.release import DEMO_FOLDER

START, END = "<!-- demo-model:start -->", "<!-- demo-model:end -->"
CARD = DEMO_FOLDER / "MODEL_CARD.md"
HEADINGS = ("real titles", "language", "texts", "exact title", "false fact", "strict", "strict, title held")


def main() -> None:
    """Rewrite both files in place; a card that was just exported gets the markers at its end."""
    report = json.loads((RESULTS / "demo_model.json").read_text())
    card = CARD.read_text(encoding="utf-8")
    if START not in card:
        card = f"{card}\n{START}\n{END}\n"
    CARD.write_text(updated(card, report), encoding="utf-8")
    README.write_text(updated(README.read_text(), report))


def updated(text: str, report: Mapping[str, Any]) -> str:
    """The text with the table between its markers. Raises `ValueError` without the markers."""
    before, _, rest = text.partition(START)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"the lines {START} and {END} are missing")
    return f"{before}{START}\n{markdown(rows(report))}\n\n{_measured(report)}\n{END}{after}"


def rows(report: Mapping[str, Any]) -> list[Sequence[str]]:
    """A row for each language and catalogue: free-running, and with the engine held to the title."""
    by = {(row["language"], row["catalogue"], row["mode"]): row for row in report["by"]}
    told: list[Sequence[str]] = [HEADINGS]
    for language, catalogue in dict.fromkeys((row["language"], row["catalogue"]) for row in report["by"]):
        free, held = by[language, catalogue, "free"], by[language, catalogue, "constrained"]
        shares = (free["exact_title"], free["false_fact"], free["strict"], held["strict"])
        told.append((catalogue, language, f"{free['texts']:,}", *(f"{share:.1%}" for share in shares)))
    return told


def _measured(report: Mapping[str, Any]) -> str:
    machine, seconds = report["machine"], report["seconds"]
    free, held = (f"{seconds[mode]:.0f} s" for mode in ("free", "constrained"))
    where = f"on {machine['date']}, one vLLM thread, seed {report['seed']}"
    return f"Measured {where}: {free} free-running, {held} with the title held."


if __name__ == "__main__":
    main()

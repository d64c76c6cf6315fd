"""The README's tables of what the texts are worth, made from the committed JSON and from nothing else.

python -m benchmarks.generation_table          # rewrites the text between the two markers of README.md
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.readme_table import README, RESULTS, markdown

START, END = "<!-- generation:start -->", "<!-- generation:end -->"
SOURCES = ("grounding", "personal")

Report = Mapping[str, Any]


def main() -> None:
    """Rewrite README.md in place."""
    reports = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in SOURCES}
    README.write_text(updated(README.read_text(), reports["grounding"], reports["personal"]))


def updated(readme: str, grounding: Report, personal: Report) -> str:
    """The README with the tables between its markers. Raises `ValueError` without the markers."""
    before, _, rest = readme.partition(START)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"README: the lines {START} and {END} are missing")
    parts = [
        markdown(grounding_rows(grounding)),
        markdown(structure_rows(grounding)),
        markdown(personal_rows(personal)),
        f"Measured: grounding {_where(grounding)}; personal {_where(personal)}, {personal['pairs']:,} pairs.",
    ]
    return f"{before}{START}\n" + "\n\n".join(parts) + f"\n{END}{after}"


def grounding_rows(report: Report) -> list[Sequence[str]]:
    """A row a catalogue and a language."""
    rows: list[Sequence[str]] = [
        (
            "texts about real items",
            "texts",
            "grounded",
            "replaced by a template",
            "history / duplicate / candidate / copy errors of the model",
            "shown",
            "distinct-1 / -2",
        )
    ]
    for name, one in {"all": report["all"], **report["by"]}.items():
        replaced = ", ".join(f"{reason} {share:.1%}" for reason, share in one["template"].items()) or "none"
        answers, shown = (
            " / ".join(f"{share:.1%}" for share in one[which].values())
            for which in ("errors_of_answers", "errors_shown")
        )
        kinds = " / ".join(f"{one['distinct'][n]:.3f}" for n in ("1", "2"))
        rows.append((name, f"{one['texts']:,}", f"{one['grounded']:.1%}", replaced, answers, shown, kinds))
    return rows


def structure_rows(report: Report) -> list[Sequence[str]]:
    """A row a kind of structured output."""
    rows: list[Sequence[str]] = [
        ("the same tasks", "tokens/s", "tokens/s, grammars compiled", "title exact", "complete", "grounded")
    ]
    for name, one in report["structured"].items():
        rates = (f"{rate:,.0f}" for rate in one["tokens_per_s"])
        rows.append((name, *rates, *(f"{one[share]:.1%}" for share in ("title", "complete", "grounded"))))
    return rows


def personal_rows(report: Report) -> list[Sequence[str]]:
    """A row a kind of text."""
    rows: list[Sequence[str]] = [
        ("whose text is it?", "right (95 %)", "by embedding alone", "coverage", "tokens written", "prefix cache hits")
    ]
    for name, one in report["results"].items():
        cells = ("{:.1%} ({:.1%} to {:.1%})".format(*one[key]) for key in ("accuracy", "accuracy_by_embedding"))
        cost = one.get("cost")
        spent = (f"{cost['completion_tokens']:,}", f"{cost['prefix_cache_hit_rate']:.1%}") if cost else ("-", "-")
        rows.append((name, *cells, f"{one['coverage']:.3f}", *spent))
    return rows


def _where(report: Report) -> str:
    machine = report["machine"]
    data = ", ".join(report["data"])
    when = f"at commit {machine['commit']} on {machine['date']}, load {machine['load_before']:.1f} before"
    return f"of {report['model']} on {data} {when}, seed {report['seed']}"


if __name__ == "__main__":
    main()

"""The README's table of ranking quality, made from the committed JSON and from nothing else.

python -m benchmarks.readme_table          # rewrites the text between the two markers of README.md
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path("benchmarks/results")
README = Path("README.md")
START, END = "<!-- quality:start -->", "<!-- quality:end -->"
OWN = "Attune"
METRIC = "ndcg@10"
WITHOUT = f"{OWN} without "
SHOWN = ("popularity, recent", "item-kNN", "iALS", "BPR", "EASE")  # beside the best one

Report = Mapping[str, Any]


def main() -> None:
    """Rewrite README.md in place."""
    README.write_text(updated(README.read_text(), read_reports(RESULTS)))


def read_reports(folder: Path) -> list[Report]:
    """What `python -m benchmarks.quality` wrote, by name of the data."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("quality_*.json"))]


def updated(readme: str, reports: Sequence[Report]) -> str:
    """The README with the tables of these reports between its markers. Raises `ValueError` without the markers."""
    before, _, rest = readme.partition(START)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"README: the lines {START} and {END} are missing")
    return f"{before}{START}\n{tables(reports)}\n{END}{after}"


def tables(reports: Sequence[Report]) -> str:
    """Markdown: ranking quality by task, what is lost without a part of it where that was measured, cold start."""
    parts = [quality_table(reports)]
    if any(_ablated(task) for report in reports for task in report["tasks"]):
        parts.append(ablation_table(reports))
    if any(report.get("cold_start") for report in reports):
        parts.append(cold_table(reports))
    parts.append("Measured: " + "; ".join(_where(report) for report in reports) + ".")
    return "\n\n".join(parts)


def quality_table(reports: Sequence[Report]) -> str:
    """A row a task: nDCG@10 of the baselines, of Attune, and the difference to the best baseline."""
    head = ("data, task, split", "users", *SHOWN, "best tuned baseline", OWN, "difference (95 %)")
    rows: list[Sequence[str]] = [head]
    for report in reports:
        for task in report["tasks"]:
            methods = {method["name"]: method for method in task["methods"]}
            own, best = methods[OWN], task["best_baseline"]
            rows.append(
                (
                    f"{report['data']}, {task['task']}, {task['protocol']}",
                    f"{task['users']:,}",
                    *(_ndcg(methods.get(name)) for name in SHOWN),
                    f"{_ndcg(methods[best])} ({best})",
                    _bold_if(own["metrics"][METRIC] > methods[best]["metrics"][METRIC], _ndcg(own)),
                    _difference(own),
                )
            )
    return markdown(rows)


def ablation_table(reports: Sequence[Report]) -> str:
    """A row a task: nDCG@10 of Attune, and what is left of it without each part; nothing is trained again."""
    tasks = [(report["data"], task) for report in reports for task in report["tasks"] if _ablated(task)]
    parts = list(dict.fromkeys(part for _, task in tasks for part in _ablated(task)))
    rows: list[Sequence[str]] = [("nDCG@10", "whole", *(f"without {part}" for part in parts))]
    for data, task in tasks:
        whole = next(method for method in task["methods"] if method["name"] == OWN)
        left = [_ndcg(_ablated(task).get(part)) for part in parts]
        rows.append((f"{data}, {task['task']}, {task['protocol']}", _ndcg(whole), *left))
    return markdown(rows)


def _ablated(task: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The measured methods that are Attune without something, by what that is."""
    methods = task["methods"]
    return {method["name"][len(WITHOUT) :]: method for method in methods if method["name"].startswith(WITHOUT)}


def cold_table(reports: Sequence[Report]) -> str:
    """A row a kind of cold start: nDCG@10 of popularity, content cosine and Attune, and the tiers that served."""
    rows: list[Sequence[str]] = [("cold start", "users", "popularity", "content cosine", OWN, "tier")]
    for report in reports:
        if not report.get("cold_start"):
            continue
        for one in report["cold_start"]["users"]:
            known = (
                f"{one['events']} event{'s' * (one['events'] > 1)}"
                if one["events"]
                else f"{one['declared']} declared interests"
            )
            rows.append(_cold_row(f"{report['data']}, users with {known}", one, one["tiers"]))
        items = report["cold_start"]["items"]
        label = f"{report['data']}, among {items['items']} items without events"
        rows.append(_cold_row(label, items["among cold items"], items["tiers"]))
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of these rows, the first of which is its head."""
    lines = [_line(rows[0]), _line("---" for _ in rows[0]), *map(_line, rows[1:])]
    return "\n".join(lines)


def _cold_row(label: str, comparison: Mapping[str, Any], tiers: Mapping[str, int]) -> Sequence[str]:
    methods = {method["name"]: method for method in comparison["methods"]}
    shown = [methods[name] for name in ("popularity", "content cosine", OWN)]
    highest = max(method["metrics"][METRIC] for method in shown)
    cells = [_bold_if(method["metrics"][METRIC] == highest, _ndcg(method)) for method in shown]
    served = ", ".join(f"{tier} {count}" for tier, count in sorted(tiers.items()))
    return (label, f"{comparison['users']:,}", *cells, served)


def _bold_if(best: bool, text: str) -> str:
    return f"**{text}**" if best else text


def _ndcg(method: Mapping[str, Any] | None) -> str:
    return "-" if method is None else f"{method['metrics'][METRIC]:.3f}"


def _difference(method: Mapping[str, Any]) -> str:
    mean, low, high = method["differences"][METRIC]
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _where(report: Report) -> str:
    machine = report["machine"]
    where = f"{report['data']} at commit {machine['commit']} on {machine['date']}, seed {report['seed']}"
    return f"{where} (baseline settings {report['baseline_settings']})"


if __name__ == "__main__":
    main()

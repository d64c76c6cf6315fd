"""The README's tables of what the texts are worth, made from the committed JSON and from nothing else.

python -m benchmarks.generation_table          # rewrites the text between the two markers of README.md
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.readme_table import README, RESULTS, markdown
from benchmarks.text_order_results import PARTS, TEXT_ALONE, interval, weight_name

START, END = "<!-- generation:start -->", "<!-- generation:end -->"
SOURCES = ("grounding", "personal", "text_order")
HEAVY = 1.0  # weight shown beside the default one and the text alone

Report = Mapping[str, Any]


def main() -> None:
    """Rewrite README.md in place."""
    reports = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in SOURCES}
    README.write_text(updated(README.read_text(), **reports))


def updated(readme: str, grounding: Report, personal: Report, text_order: Report) -> str:
    """The README with the tables between its markers. Raises `ValueError` without the markers."""
    before, _, rest = readme.partition(START)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"README: the lines {START} and {END} are missing")
    parts = [
        markdown(grounding_rows(grounding)),
        markdown(structure_rows(grounding)),
        markdown(personal_rows(personal)),
        markdown(candidates_rows(text_order)),
        markdown(order_rows(text_order)),
        f"Measured: grounding {_where(grounding)}; personal {_where(personal)}, {personal['pairs']:,} pairs; "
        f"candidates and order {_where(text_order)}.",
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


def candidates_rows(report: Report) -> list[Sequence[str]]:
    """A row a task and number of candidates: the chosen texts and what they cost."""
    rows: list[Sequence[str]] = [
        (
            "candidates an item, ten items a reply",
            "score of the shown text",
            "gain over one (95 %)",
            *PARTS,
            "tokens read / written a reply",
        )
    ]
    for one in report["results"]:
        for each, text in one["texts"].items():
            gain = "-" if each == "1" else "{:+.1%} ({:+.1%} to {:+.1%})".format(*(r - 1 for r in one["gain"]["ratio"]))
            parts = (f"{text[part]:.3f}" for part in PARTS)
            tokens = f"{text['prompt_tokens']:,.0f} / {text['completion_tokens']:,.0f}"
            rows.append((f"{_task(one)}, {each}", f"{text['score']:.3f}", gain, *parts, tokens))
    return rows


def order_rows(report: Report) -> list[Sequence[str]]:
    """A row a task and number of candidates: what the text's score does to nDCG@10, and what it could do at best."""
    default = report["default_weight"]
    shown = [weight_name(weight, default) for weight in (default, HEAVY, TEXT_ALONE)]
    rows: list[Sequence[str]] = [
        (
            "weight of the text's score, candidates",
            "0: nDCG@10",
            *(f"{name}: difference (95 %)" for name in shown),
            "text alone less shuffled texts alone",
            "best order of the ten",
            "lists changed by the default",
        )
    ]
    for one in report["results"]:
        for each, order in one["order"].items():
            by_weight = {row["weight"]: row for row in order["weights"]}
            gains = (interval(by_weight[weight]["difference"]) for weight in (default, HEAVY, TEXT_ALONE))
            known, best = interval(by_weight[TEXT_ALONE]["beyond_shuffled"]), interval(order["best"])
            changed = f"{by_weight[default]['changed']:.1%}"
            rows.append((f"{_task(one)}, {each}", f"{order['ndcg']:.4f}", *gains, known, best, changed))
    return rows


def _task(result: Report) -> str:
    return f"{result['data']}, {result['task']} ({result['users']:,} users)"


def _where(report: Report) -> str:
    machine = report["machine"]
    data = ", ".join(report["data"])
    when = f"at commit {machine['commit']} on {machine['date']}, load {machine['load_before']:.1f} before"
    return f"of {report['model']} on {data} {when}, seed {report['seed']}"


if __name__ == "__main__":
    main()

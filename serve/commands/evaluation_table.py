"""The tables that `attune evaluate` prints."""

from rich.console import Console
from rich.table import Table

from ranking.comparison import DECIDING, PLACES, Comparison

SHORT = {"precision": "P", "recall": "R", "f1": "F1", "ndcg": "nDCG", "hit_rate": "HR"}


def print_comparison(console: Console, title: str, comparison: Comparison) -> None:
    """A row a method: accuracy at 10 and 20 places, the lists, and nDCG@10 minus the best baseline's."""
    table = Table("", *(f"{short}@{k}" for k in PLACES for short in SHORT.values()), title=title)
    lists = Table(
        "", "coverage", "diversity", "novelty", "nDCG@10 - best baseline (95 %)", title=f"{title}: lists of 10"
    )
    for method in comparison.methods:
        cells = [f"{method.metrics[f'{name}@{k}']:.4f}" for k in PLACES for name in SHORT]
        best = method.name == comparison.best_baseline
        table.add_row(method.name, *cells, style="bold" if best else "")
        mean, low, high = method.differences[DECIDING]
        gap = "the best baseline" if best else f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
        own = method.lists
        numbers = (f"{own.coverage:.3f}", f"{own.intra_list_diversity:.3f}", f"{own.novelty:.2f}")
        lists.add_row(method.name, *numbers, gap)
    console.print(table)
    console.print(lists)

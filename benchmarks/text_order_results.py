"""What `bench_text_order` makes of pages that were served: orders by weight, and what more candidates gain.

A difference is (mean, low, high): paired by user, with a 95 % bootstrap interval.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from interest.batch import Doubles
from ranking.bootstrap import mean_intervals
from ranking.evaluation import metrics_of_ids
from ranking.sources import SCORES
from ranking.tasks import Task
from serve.ranker import Ranking
from serve.schema import GeneratedContent, Recommendation
from serve.text_order import text_order

TEXT_ALONE = 1e6  # a weight beside which the ranking's own scores count for nothing
SHUFFLES = 20  # of each page's texts, whose mean is the control
PARTS = ("similarity", "coverage", "grounded")  # of a text's score
Pages = Sequence[Recommendation]  # one a user, in the order of the ranking alone, with scored texts
Contents = Sequence[GeneratedContent | None]


def order_results(
    task: Task, pages: Pages, weights: Sequence[float], k: int, rng: np.random.Generator
) -> dict[str, Any]:
    """nDCG@k of the ranking, what the best order of each page would gain, and what the text score makes of it."""
    before = [ids_of(page) for page in pages]
    ranking, best = ndcg(before, task, k), ndcg(best_orders(before, task), task, k)
    (gain,) = differences([best - ranking], rng)
    own, shuffled = [_contents(page) for page in pages], [_shuffled(pages, rng) for _ in range(SHUFFLES)]
    rows = []
    for weight in weights:
        lists = _ordered(pages, own, weight)
        found = ndcg(lists, task, k)
        control: Doubles = np.mean([ndcg(_ordered(pages, one, weight), task, k) for one in shuffled], axis=0)
        changed = np.mean([after != ids for after, ids in zip(lists, before, strict=True)])
        gains = differences([found - ranking, control - ranking, found - control], rng)
        named = dict(zip(("difference", "shuffled", "beyond_shuffled"), gains, strict=True))
        rows.append({"weight": weight, **named, "changed": float(changed)})
    spread = {"ranking": _spread([scores_of(page) for page in pages]), "text": _spread(text_scores(pages))}
    return {"ndcg": float(ranking.mean()), "best": gain, "spread": spread, "weights": rows}


def text_results(pages: Pages) -> dict[str, float]:
    """Means: the score of a text and its parts, and the tokens of a reply."""
    scores = dict(zip(("score", *PARTS), page_means(pages).mean(axis=0).tolist(), strict=True))
    tokens = {
        "prompt_tokens": float(np.mean([page.usage.prompt_tokens for page in pages])),
        "completion_tokens": float(np.mean([page.usage.completion_tokens for page in pages])),
    }
    return {**scores, **tokens}


def text_gain(few: Pages, many: Pages, rng: np.random.Generator) -> dict[str, list[float]]:
    """Score and parts with many candidates less those with few, and the mean over users of the score's ratio."""
    before, after = page_means(few), page_means(many)
    ratio = np.divide(after[:, 0], before[:, 0], out=np.ones(len(before)), where=before[:, 0] > 0)
    found = differences([*(after - before).T, ratio], rng)
    return dict(zip(("score", *PARTS, "ratio"), found, strict=True))


def ordered_ids(page: Recommendation, contents: Contents, weight: float) -> list[str]:
    """The page as a server with this weight would show it, if its texts were `contents`."""
    found = text_order(ranking_of(page), contents, weight)
    ids = ids_of(page)
    return ids if found is None else [ids[place] for place in found[1]]


def ranking_of(page: Recommendation) -> Ranking:
    """The ranking behind a page, places (from 0) for item keys; its score parts and interests are not known here."""
    count = len(page.data)
    return Ranking(
        item_keys=np.arange(count),
        scores=scores_of(page).astype(np.float32),
        parts=np.full((count, len(SCORES)), np.nan, dtype=np.float32),
        propensity=np.array([item.propensity for item in page.data]),
        interests=(),
        known=page.tier == "full",
        timings_ms={},
    )


def best_orders(lists: Sequence[Sequence[str]], task: Task) -> list[list[str]]:
    """Each user's list with the relevant items first: no order of it has a higher nDCG."""
    cuts, best = task.relevant_offsets, []
    for user, ids in enumerate(lists):
        wanted = set(task.relevant_ids[cuts[user] : cuts[user + 1]])
        best.append(sorted(ids, key=lambda item_id: item_id not in wanted))
    return best


def ndcg(lists: Sequence[Sequence[str]], task: Task, k: int) -> Doubles:
    """float64 [users]"""
    return metrics_of_ids(lists, task.relevant_offsets, task.relevant_ids, k).ndcg


def differences(columns: Sequence[Doubles], rng: np.random.Generator) -> list[list[float]]:
    """(mean, low, high) of each column [users]."""
    found = mean_intervals(np.stack(columns, axis=1), rng)
    rows: list[list[float]] = np.stack([found.mean, found.low, found.high], axis=1).round(6).tolist()
    return rows


def page_means(pages: Pages) -> Doubles:
    """Of the texts of each page: score, similarity, coverage, grounded; float64 [users, 4]."""
    return np.array([np.mean([_scores(item.generated) for item in page.data], axis=0) for page in pages])


def text_scores(pages: Pages) -> list[Doubles]:
    """float64 [items] a page."""
    return [np.array([_scores(item.generated)[0] for item in page.data]) for page in pages]


def scores_of(page: Recommendation) -> Doubles:
    """Of the ranking; float64 [items]."""
    return np.array([item.score for item in page.data], dtype=np.float64)


def ids_of(page: Recommendation) -> list[str]:
    """In the order of the page."""
    return [item.item_id for item in page.data]


def weight_name(weight: float, default: float) -> str:
    """As a table has it."""
    if weight == TEXT_ALONE:
        return "text alone"
    return f"{weight:g} (default)" if weight == default else f"{weight:g}"


def interval(found: Sequence[float]) -> str:
    """(mean, low, high) of a difference of nDCG."""
    return "{:+.4f} ({:+.4f} to {:+.4f})".format(*found)


def _scores(text: GeneratedContent | None) -> list[float]:
    assert text is not None
    assert text.score is not None
    assert text.score_parts is not None
    return [text.score, *(text.score_parts[part] for part in PARTS)]


def _spread(scores: Sequence[Doubles]) -> float:
    """Mean over pages of the standard deviation within."""
    return float(np.mean([page.std() for page in scores]))


def _contents(page: Recommendation) -> Contents:
    return [item.generated for item in page.data]


def _shuffled(pages: Pages, rng: np.random.Generator) -> list[Contents]:
    """The contents of each page, changed places."""
    orders = [rng.permutation(len(page.data)) for page in pages]
    return [[page.data[place].generated for place in order] for page, order in zip(pages, orders, strict=True)]


def _ordered(pages: Pages, contents: Sequence[Contents], weight: float) -> list[list[str]]:
    return [ordered_ids(page, texts, weight) for page, texts in zip(pages, contents, strict=True)]

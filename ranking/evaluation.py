"""Ranking metrics with binary relevance: precision, recall, F1, nDCG and hit rate at k."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from interest.batch import Doubles, Longs


@dataclass(frozen=True, slots=True)
class Metrics:
    """One value per user, each float64 [users], between 0 and 1."""

    precision: Doubles
    recall: Doubles
    f1: Doubles
    ndcg: Doubles
    hit_rate: Doubles

    def means(self) -> dict[str, float]:
        """Means over users; 0 for no users."""
        return {item.name: _mean(getattr(self, item.name)) for item in fields(self)}


def ranking_metrics(ranked: Longs, relevant_offsets: Longs, relevant: Longs, k: int) -> Metrics:
    """Metrics at k of `ranked`, item keys int64 [users, >= k], best first, padded with -1.

    `relevant` holds each user's distinct relevant item keys, cut by `relevant_offsets` [users + 1]; a user without
    any scores 0. Precision divides by k, recall by the number relevant; nDCG is binary with the ideal over
    min(k, relevant): Järvelin, K., Kekäläinen, J. (2002), "Cumulated gain-based evaluation of IR techniques", with
    the discount 1 / log2(place + 1) for places from 1.
    """
    lengths = np.diff(relevant_offsets).astype(np.float64)
    hits = _hits(ranked[:, :k], relevant_offsets, relevant)
    found = hits.sum(axis=1)
    precision, recall = found / k, found / np.maximum(lengths, 1.0)
    total = precision + recall
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.append(0.0, np.cumsum(discounts))[np.minimum(lengths, k).astype(np.int64)]
    gain = (hits * discounts[: hits.shape[1]]).sum(axis=1)
    return Metrics(
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / np.where(total > 0, total, 1.0),
        ndcg=gain / np.where(ideal > 0, ideal, 1.0),
        hit_rate=(found > 0).astype(np.float64),
    )


def metrics_of_ids(
    rankings: Sequence[Sequence[str]], relevant_offsets: Longs, relevant_ids: Sequence[str], k: int
) -> Metrics:
    """`ranking_metrics` of public ids: `rankings` best first, `relevant_ids` distinct within a user."""
    numbers: dict[str, int] = {}
    relevant = np.array([numbers.setdefault(i, len(numbers)) for i in relevant_ids], dtype=np.int64)
    ranked = np.full((len(rankings), k), -1, dtype=np.int64)
    for row, ids in enumerate(rankings):
        best = ids[:k]
        ranked[row, : len(best)] = [numbers.setdefault(i, len(numbers)) for i in best]
    return ranking_metrics(ranked, relevant_offsets, relevant, k)


def coverage_of_ids(rankings: Sequence[Sequence[str]], items: int) -> float:
    """Share of so many items that are in any of the rankings, at most 1; 0 without items."""
    shown = {item_id for ids in rankings for item_id in ids}
    return min(len(shown) / items, 1.0) if items else 0.0


def padded_ranking(offsets: Longs, items: Longs, width: int) -> Longs:
    """Ragged item keys as int64 [users, width], cut or padded with -1."""
    lengths = np.minimum(np.diff(offsets), width)
    table = np.full((len(lengths), width), -1, dtype=np.int64)
    user = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(user)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    table[user, place] = items[offsets[user] + place]
    return table


def _hits(ranked: Longs, relevant_offsets: Longs, relevant: Longs) -> Doubles:
    users = np.arange(len(ranked))
    stride = int(max(ranked.max(initial=0), relevant.max(initial=0))) + 1
    wanted = np.repeat(users, np.diff(relevant_offsets)) * stride + relevant
    offered = np.where(ranked >= 0, users[:, None] * stride + ranked, -1)
    return np.isin(offered, wanted).astype(np.float64)


def _mean(values: Doubles) -> float:
    return float(values.mean()) if len(values) else 0.0

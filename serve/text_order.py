"""The scores of the texts enter the order of a page, where that is an order by score alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from interest.batch import Doubles, Longs
from serve.ranker import Ranking
from serve.schema import GeneratedContent


def text_order(
    ranking: Ranking, contents: Sequence[GeneratedContent | None], weight: float
) -> tuple[Ranking, Longs] | None:
    """The ranking with its first places ordered by score with what their texts add, and where each of them was.

    `contents` are those of the first places. None, and nothing changes, where no text was scored, and in a list that is
    not by score alone (diversity, calibration) or has drawn places, whose propensity is exact only where they are.
    """
    added, count = added_by_text(contents, weight), len(contents)
    scores = ranking.scores[:count].astype(np.float64)
    if not added.any() or (np.diff(scores) > 0).any() or (ranking.propensity[:count] != 1.0).any():
        return None
    order = np.argsort(-(scores + added), kind="stable")
    places = np.concatenate([order, np.arange(count, len(ranking.item_keys))])
    summed = np.concatenate([scores + added, ranking.scores[count:]]).astype(np.float32)
    moved = replace(
        ranking,
        item_keys=ranking.item_keys[places],
        scores=summed[places],
        parts=ranking.parts[places],
        propensity=ranking.propensity[places],
        text=added[order],
    )
    return moved, order


def added_by_text(contents: Sequence[GeneratedContent | None], weight: float) -> Doubles:
    """`weight` x (a text's score - the mean of the page's), 0 where there is none; float64 [n]."""
    found = np.array([np.nan if one is None or one.score is None else one.score for one in contents], dtype=np.float64)
    if np.isnan(found).all():
        return np.zeros(len(found))
    added: Doubles = weight * np.nan_to_num(found - np.nanmean(found))
    return added

"""Beyond accuracy: how varied a list is, how much of the catalogue is shown, how evenly, and how unexpected it is.

Everywhere `ranked` is int64 [users, k] of item rows (0 <= row < items), best first, padded with -1 anywhere.
"""

from dataclasses import dataclass

import numpy as np

from interest.batch import Doubles, Floats, Longs

USERS_AT_ONCE = 1024  # content vectors are gathered for so many lists at a time


@dataclass(frozen=True, slots=True)
class ListMetrics:
    """`beyond_accuracy` of one set of lists."""

    intra_list_diversity: float  # mean over users, 0 (all alike) to 2
    coverage: float  # 0 to 1
    gini: float  # 0 (all items shown equally often) to 1
    novelty: float  # mean over users, bits


def beyond_accuracy(ranked: Longs, content: Floats, counts: Doubles, users: int) -> ListMetrics:
    """All four for `ranked` over the catalogue of `content` [rows, E]; `counts` and `users` as in `novelty`."""
    return ListMetrics(
        intra_list_diversity=_mean(intra_list_diversity(ranked, content)),
        coverage=coverage(ranked, len(content)),
        gini=gini(ranked, len(content)),
        novelty=_mean(novelty(ranked, counts, users)),
    )


def intra_list_diversity(ranked: Longs, content: Floats) -> Doubles:
    """Mean of 1 - cosine over the pairs of each list, float64 [users]; 0 for lists of fewer than two items.

    `content` float32 [rows, E]; a row of zeros (not encoded) counts as orthogonal to every other.
    Smyth, B., McClave, P. (2001), "Similarity vs. diversity"; the case without rank discount and relevance of Vargas,
    S., Castells, P. (2011), "Rank and relevance in novelty and diversity metrics for recommender systems".
    """
    found = np.zeros(len(ranked))
    for start in range(0, len(ranked), USERS_AT_ONCE):
        part = ranked[start : start + USERS_AT_ONCE]
        found[start : start + len(part)] = _mean_distance(part, content)
    return found


def coverage(ranked: Longs, items: int) -> float:
    """Share of a catalogue of `items` rows that stands in at least one list; 0 for an empty catalogue.

    Aggregate diversity: Adomavicius, G., Kwon, Y. (2012), "Improving aggregate recommendation diversity using
    ranking-based techniques", over the number of items.
    """
    return len(np.unique(ranked[ranked >= 0])) / items if items else 0.0


def gini(ranked: Longs, items: int) -> float:
    """Gini index of how often each of `items` rows is shown: 0 when equally often, (items - 1) / items for one alone.

    Never shown items count; 0 when nothing is shown. Castells, P., Hurley, N., Vargas, S. (2022), "Novelty and
    diversity in recommender systems", Recommender Systems Handbook, 3rd ed.: with x ascending,
    sum over j from 1 to n of (2 j - n - 1) x_j, over n sum x. (Their divisor n - 1 makes it 1 for one alone.)
    """
    return gini_of(np.bincount(ranked[ranked >= 0], minlength=items).astype(np.float64))


def gini_of(amounts: Doubles) -> float:
    """`gini` of amounts [items] that are at least 0, such as shares of exposure."""
    ascending = np.sort(amounts)
    total, items = ascending.sum(), len(ascending)
    if total <= 0:
        return 0.0
    weights = 2.0 * np.arange(1, items + 1) - items - 1
    return float((weights * ascending).sum() / (items * total))


def novelty(ranked: Longs, counts: Doubles, users: int) -> Doubles:
    """Mean self-information of each list's items in bits, float64 [users]; 0 for an empty list.

    -log2 p(item) with p the share of `users` who had to do with the item (`counts` [rows], distinct users), where an
    item nobody knows counts as half a user: Zhou, T. et al. (2010), "Solving the apparent diversity-accuracy dilemma
    of recommender systems"; Vargas, S., Castells, P. (2011), "Rank and relevance in novelty and diversity metrics for
    recommender systems". Raises ValueError when an item has more users than there are.
    """
    if counts.max(initial=0.0) > users:
        raise ValueError(f"counts: an item has {counts.max():g} users, there are {users}")
    if not ranked.size:
        return np.zeros(len(ranked))
    shown = ranked >= 0
    bits = -np.log2(np.maximum(counts, 0.5) / max(users, 1))
    told = np.where(shown, bits[np.where(shown, ranked, 0)], 0.0) if len(counts) else np.zeros(ranked.shape)
    mean: Doubles = told.sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    return mean


def _mean_distance(ranked: Longs, content: Floats) -> Doubles:
    """From the length of the sum of unit vectors: |sum|^2 = sum |v|^2 + the cosines of all ordered pairs."""
    shown = ranked >= 0
    vectors = content[np.where(shown, ranked, 0)].astype(np.float64) if len(content) else np.zeros((*ranked.shape, 0))
    squares = (vectors * vectors).sum(axis=2, keepdims=True)
    unit = np.where(shown[:, :, None] & (squares > 0), vectors / np.sqrt(np.where(squares > 0, squares, 1.0)), 0.0)
    total = unit.sum(axis=1)
    cosines = (total * total).sum(axis=1) - (unit * unit).sum(axis=(1, 2))
    count = shown.sum(axis=1)
    pairs = count * (count - 1)
    distance: Doubles = np.where(pairs > 0, 1.0 - cosines / np.maximum(pairs, 1), 0.0)
    return distance


def _mean(values: Doubles) -> float:
    return float(values.mean()) if len(values) else 0.0

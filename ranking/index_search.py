"""A search of one snapshot: the main index proposes rows, exact scores decide, what is uncertain is scanned whole."""

from collections.abc import Iterator

import numpy as np

from interest.batch import Floats, Longs
from ranking.index_kernels import Mask, Selection
from ranking.index_settings import FLAT, IndexSettings
from ranking.index_snapshot import Snapshot
from ranking.score_order import top

SCAN_FROM = 16  # an exact scan beats an index that is asked for more than one in this many of its rows


def best_rows(
    snapshot: Snapshot, queries: Floats, k: int, allowed: Mask, excluded: list[Longs], settings: IndexSettings
) -> Iterator[tuple[int, Longs, Floats]]:
    """Yields (query, its best rows, their scores), best first, equal scores by lower item key.

    Fewer than k rows only when fewer are left of `allowed`, bool [n], without `excluded`, rows of each query.
    """
    size = len(snapshot.main_vectors)
    selection = Selection(allowed[:size])
    delta_rows = size + np.flatnonzero(allowed[size:])
    every_row: Longs | None = None  # made once, and only when some query has to be scanned
    wanted = np.array([k + len(rows) + 1 for rows in excluded], dtype=np.int64)  # one more: is there a tie at the end?
    few = selection.count < max(settings.scan_share * size, settings.scan_rows if snapshot.main.kind != FLAT else 0)
    scanned = (wanted * SCAN_FROM >= selection.count) | few
    members = np.flatnonzero(~scanned)
    lists = snapshot.main.shortlists(snapshot.main_vectors, queries[members], wanted[members], selection)
    shortlist = dict(zip(members.tolist(), lists, strict=True))
    blocked = np.zeros(len(snapshot.keys), dtype=bool)
    for query in range(len(queries)):
        blocked[excluded[query]] = True
        one = queries[query : query + 1]
        best = None
        if query in shortlist:
            best = _best(snapshot, one, k, shortlist[query], delta_rows, blocked)
        if best is None:
            every_row = np.flatnonzero(allowed) if every_row is None else every_row
            best = _top(snapshot, every_row, snapshot.scores(one, every_row[None, :])[0], blocked, k)
        blocked[excluded[query]] = False
        yield query, *best


def _best(
    snapshot: Snapshot, query: Floats, k: int, main_rows: Longs, delta_rows: Longs, blocked: Mask
) -> tuple[Longs, Floats] | None:
    """The k best of these rows; None unless k are left and the last one is above the shortlist's lowest.

    A row that the shortlist cut off may have the lowest score of the list, and a lower key.
    """
    rows = np.concatenate([main_rows, delta_rows])
    scores = snapshot.scores(query, rows[None, :])[0]
    best, best_scores = _top(snapshot, rows, scores, blocked, k)
    certain = len(best) == k and best_scores[-1] > scores[: len(main_rows)].min(initial=np.inf)
    return (best, best_scores) if certain else None


def _top(snapshot: Snapshot, rows: Longs, scores: Floats, blocked: Mask, k: int) -> tuple[Longs, Floats]:
    """The k best of these rows that are not blocked."""
    free = ~blocked[rows]
    rows, scores = rows[free], scores[free]
    order = top(snapshot.keys[rows], scores, k)
    return rows[order], scores[order]

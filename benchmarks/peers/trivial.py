"""Three stages that compute next to nothing, the same functions in every server: what is left is the server's cost.

Arrays of one batch in, arrays of one batch out, as the real stages have it: user ids to interest vectors, vectors to
candidates with a score, candidates to the best of them. Every user has other items, so that a reply that reached the
wrong caller is noticed. Nothing but NumPy is imported: peers have environments of their own, with older versions too.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
COUNT = 10  # items of a reply
USERS, ITEMS = 997, 500


def user_name(number: int) -> str:
    return f"user-{number}"


def interests(user_ids: Sequence[str], rank: int = 1) -> Array:
    """float32 [batch, rank]; the number in a user's name comes first."""
    vectors = np.zeros((len(user_ids), rank), dtype=np.float32)
    vectors[:, 0] = [int(name.rpartition("-")[2]) if name.startswith("user-") else 0 for name in user_ids]
    return vectors


def candidates(vectors: Array, count: int = COUNT) -> tuple[Array, Array]:
    """(items, scores), int64 and float32 [batch, count]; items are places in the list of all, 0 to ITEMS - 1."""
    places = np.arange(count)
    items = (vectors[:, :1].astype(np.int64) * 31 + places * 7) % ITEMS
    scores = np.broadcast_to((places * 3 % count).astype(np.float32), items.shape)
    return items, scores


def ranked(items: Array, scores: Array) -> tuple[Array, Array]:
    """The same, best first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)


def answer(user_ids: Sequence[str]) -> tuple[Array, Array]:
    """All three in a row."""
    return ranked(*candidates(interests(user_ids)))

"""Exploration: epsilon-greedy places below the head of a list, with the exact probability of what was shown.

At each place from `first_place` on, with probability `epsilon` a uniform draw from the tail (the user's best `depth`
candidates by score, without those already above) takes the place, otherwise the next item of the list does. So the
probability of an item at a place, given the request and what stands above, is known in closed form. That is why this is
the kind we offer: under Thompson sampling it is an integral over the posterior that can only be simulated, and an
off-policy estimate divides by it.
"""

from collections.abc import Sequence

import numpy as np
import xxhash

from interest.batch import Doubles, Longs


def explored(
    ordered: Sequence[int], tail: Sequence[int], count: int, epsilon: float, first_place: int, rng: np.random.Generator
) -> tuple[Longs, Doubles]:
    """The first `count` items shown, and the probability of each at its place given those above it.

    `ordered`: every candidate, best first (after diversity). `tail`: the candidates that may be drawn, each one of
    `ordered`. The same `rng` state gives the same list, and a longer one begins like a shorter one.
    """
    waiting, drawable = list(ordered), list(tail)
    shown: list[int] = []
    propensity: list[float] = []
    for place in range(min(count, len(ordered))):
        greedy = waiting[0]
        chance = epsilon if place >= first_place and drawable else 0.0
        item = greedy
        if chance > 0 and rng.random() < chance:
            item = drawable[rng.integers(len(drawable))]
        by_draw = chance / len(drawable) if item in drawable else 0.0
        propensity.append(by_draw + (1.0 - chance if item == greedy else 0.0))
        shown.append(item)
        waiting.remove(item)
        if item in drawable:
            drawable.remove(item)
    return np.array(shown, dtype=np.int64), np.array(propensity)


def seed_of(request_id: str) -> int:
    """The seed of one recommendation, from the id its reply and its impressions carry: 0 to 2**64 - 1."""
    return int(xxhash.xxh64_intdigest(request_id.encode()))

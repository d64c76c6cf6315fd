"""Which of a user's interests are worth telling: what every item bears says nothing about anybody."""

from collections.abc import Mapping, Sequence

import numpy as np

from interest.catalogue import Catalogue
from interest.features import facet_hash

REFRESHED_AT = 0.1  # growth or loss of items, over all, after which the shares are counted again
Interest = tuple[str, str, float, bool]  # (kind, name, weight, declared)


class Telling:
    """Weights as the language model is told them: times the share of items that do not bear the facet.

    A declared interest keeps its weight: whoever names it means it. Shares are counted anew when the catalogue has
    grown or shrunk by a tenth, so that texts do not change with every item.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._counted: tuple[Mapping[int, int], int] = ({}, 0)  # of which facet how many items, and of how many

    def told(self, interests: Sequence[Interest]) -> tuple[tuple[str, float], ...]:
        """(name, weight), heaviest first, ties as they were."""
        self.follow()  # does nothing where the thread that follows the catalogue has done it
        bearers, items = self._counted
        return told(interests, bearers, items)

    def follow(self) -> None:
        """Count again if that is due: about 0.03 s for a hundred thousand items."""
        view = self._catalogue.view()
        _, items = self._counted
        if abs(len(view) - items) > REFRESHED_AT * items:
            hashes, counts = np.unique(view.facet_hash, return_counts=True)
            self._counted = dict(zip(hashes.tolist(), counts.tolist(), strict=True)), len(view)


def told(interests: Sequence[Interest], bearers: Mapping[int, int], items: int) -> tuple[tuple[str, float], ...]:
    """`bearers`: how many of `items` bear each facet, by its hash."""
    weighted = [
        (name, weight if declared else weight * (1.0 - bearers.get(facet_hash(kind, name), 0) / max(items, 1)))
        for kind, name, weight, declared in interests
    ]
    return tuple(sorted(weighted, key=lambda one: -one[1]))

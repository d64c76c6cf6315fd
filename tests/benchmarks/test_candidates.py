"""Candidate recall counts every wanted item, also one that the catalogue lacks."""

import numpy as np

from benchmarks.quality.candidates import shares, wanted_keys
from interest.catalogue import Catalogue
from interest.items import Item
from interest.store.protocol import ItemChange
from ranking.tasks import Task


def test_a_wanted_item_that_the_catalogue_lacks_is_a_miss() -> None:
    catalogue = Catalogue()
    catalogue.apply([ItemChange(n, 10 + n, f"i{n}", Item(item_id=f"i{n}", title=""), None, "") for n in range(1, 5)])
    task = Task("new", ("u",), np.array([9.0]), np.array([0, 3]), ("i1", "i4", "elsewhere"), True)
    keys, number = wanted_keys(catalogue.view(), task, 0)
    assert (keys.tolist(), number) == ([11, 14], 3)
    assert shares([np.array([11, 12, 13])], [(keys, number)]) == [1 / 3]

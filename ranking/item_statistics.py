"""What is known of items since the interest model was fitted, by item key: statistics and neighbours."""

from dataclasses import dataclass

import numpy as np

from interest.batch import Floats, Longs
from interest.catalogue import CatalogueView
from interest.model import STATISTICS, InterestModel
from ranking.neighbours import Neighbours


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """`values` float32 [m + 1, len(STATISTICS)]; its last row, for items that the model does not know, is NaN."""

    values: Floats
    row_of_key: Longs  # -1 for an unknown key
    neighbours: Neighbours

    @classmethod
    def of(cls, model: InterestModel, view: CatalogueView) -> "ItemStatistics":
        """Those of the model's items that the catalogue knows."""
        rows = [view.row_of_id(item_id) for item_id in model.item_ids]
        known = np.array([place for place, row in enumerate(rows) if row is not None], dtype=np.int64)
        keys = view.keys[[row for row in rows if row is not None]]
        table = np.full(int(keys.max(initial=-1)) + 1, -1, dtype=np.int64)
        table[keys] = known
        return cls(np.concatenate([model.statistics, _unknown()]), table, Neighbours.of(model, view, table))

    @classmethod
    def nothing(cls) -> "ItemStatistics":
        """No item is known."""
        return cls(_unknown(), np.zeros(0, dtype=np.int64), Neighbours.nothing())

    def find(self, keys: Longs) -> Floats:
        """float32 [n, len(STATISTICS)] of these item keys."""
        rows = np.full(len(keys), -1, dtype=np.int64)
        known = keys < len(self.row_of_key)
        rows[known] = self.row_of_key[keys[known]]
        return self.values[rows]


def _unknown() -> Floats:
    return np.full((1, len(STATISTICS)), np.nan, dtype=np.float32)

"""The synthetic items as arrays, and how strongly each draws a visitor at an instant."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranking.synthetic_items import DAY_S, Entry

_HALF_LIFE_S = {"news": 6 * DAY_S, "social": 45 * DAY_S}  # of an item's freshness; other domains do not age


@dataclass(frozen=True, slots=True)
class CatalogueArrays:
    """The items as arrays of n rows; `of_topic` gives the rows of a topic."""

    entries: list[Entry]
    topics: tuple[str, ...]
    of_topic: dict[str, npt.NDArray[np.int64]]
    popularity: npt.NDArray[np.float64]
    english: npt.NDArray[np.bool_]
    price_rank: npt.NDArray[np.float64]  # 0 cheapest to 1 dearest within the domain; 0.5 without a price
    created_at: npt.NDArray[np.float64]  # unix seconds
    half_life_s: npt.NDArray[np.float64]
    peak_at: npt.NDArray[np.float64]  # unix seconds: when the item is in fashion, NaN for most

    @classmethod
    def of(cls, rng: np.random.Generator, entries: list[Entry], start: float, end: float) -> "CatalogueArrays":
        rows: dict[str, list[int]] = {}
        for row, entry in enumerate(entries):
            for topic in {entry.topic: None, entry.second_topic: None}:
                rows.setdefault(topic, []).append(row)
        count = len(entries)
        peaks = rng.uniform(start, end, count)
        return cls(
            entries=entries,
            topics=tuple(rows),
            of_topic={topic: np.array(numbers) for topic, numbers in rows.items()},
            popularity=np.power(rng.permutation(count).astype(np.float64) + 8.0, -0.8),
            english=np.array([entry.item.language == "en" for entry in entries]),
            price_rank=_price_ranks(entries),
            created_at=np.array([entry.item.created_at or 0.0 for entry in entries]),
            half_life_s=np.array([_HALF_LIFE_S.get(entry.item.domain, np.inf) for entry in entries]),
            peak_at=np.where(rng.random(count) < 0.2, peaks, np.nan),
        )

    def pull(self, rows: npt.NDArray[np.int64], at: float) -> npt.NDArray[np.float64]:
        """How strongly each of these items draws anybody at that instant: popularity, fashion, freshness."""
        age_s = at - self.created_at[rows]
        distance_days = (at - self.peak_at[rows]) / DAY_S
        fashion = 1.0 + 4.0 * np.nan_to_num(np.exp(-((distance_days / 15.0) ** 2)))
        freshness = np.exp2(-np.maximum(age_s, 0.0) / self.half_life_s[rows])
        pull: npt.NDArray[np.float64] = self.popularity[rows] * fashion * freshness * (age_s >= 0.0)
        return pull


def _price_ranks(entries: list[Entry]) -> npt.NDArray[np.float64]:
    ranks = np.full(len(entries), 0.5)
    for domain in dict.fromkeys(entry.item.domain for entry in entries):
        priced = [
            (entry.item.price, row)
            for row, entry in enumerate(entries)
            if entry.item.domain == domain and entry.item.price is not None
        ]
        rows = [row for _, row in sorted(priced)]
        ranks[np.array(rows, dtype=np.int64)] = np.linspace(0.0, 1.0, len(rows))
    return ranks

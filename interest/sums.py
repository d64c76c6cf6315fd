"""The sums that the interest model is fitted from: over users and cuts in time, so new events add to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse

from interest.batch import Longs, ragged_offsets
from interest.fitting import InterestSettings, user_item_matrix
from interest.model import BehaviourWeights
from interest.next_acts import ActPairs, History, cut_times, weighted_pairs


@dataclass(frozen=True, slots=True)
class Sums:
    """float64 [items, items] each, weighted as of one instant.

    `gram` and `target` are X'X and X'Y of the next head over the cuts whose horizon is over: nothing that happens
    later changes their rows. `together` is X'X of the users x items matrix of the together head.
    """

    gram: scipy.sparse.csr_array
    target: scipy.sparse.csr_array
    together: scipy.sparse.csr_array

    @property
    def items(self) -> int:
        return int(self.gram.shape[0])

    @classmethod
    def nothing(cls, items: int) -> "Sums":
        empty = scipy.sparse.csr_array((items, items), dtype=np.float64)
        return cls(empty, empty, empty)

    def plus(self, other: "Sums", sign: int = 1) -> "Sums":
        """The sums of both; with a `sign` of -1 what is left without the other."""
        return Sums(*(_sum(getattr(self, name), getattr(other, name), sign) for name in MATRICES))

    def later(self, seconds: float, settings: InterestSettings) -> "Sums":
        """The same sums as of that much later: everything in them is older and weighs less."""
        pairs = float(np.exp2(-seconds / settings.fit_half_life_s))  # rows carry the root of their weight, twice
        together = float(np.exp2(-2 * seconds / settings.together_half_life_s))  # entries carry all of it, twice
        return Sums(_scaled(self.gram, pairs), _scaled(self.target, pairs), _scaled(self.together, together))

    def moved(self, place: Longs, items: int) -> "Sums":
        """The same sums over other items: the old item i is now `place[i]`, ascending, and gone where that is -1."""
        if items == self.items and np.array_equal(place, np.arange(items)):
            return self
        return Sums(*(_moved(getattr(self, name), place, items) for name in MATRICES))


MATRICES = ("gram", "target", "together")  # of `Sums`


def _sum(first: scipy.sparse.csr_array, second: scipy.sparse.csr_array, sign: int) -> scipy.sparse.csr_array:
    if not second.nnz:
        return first
    return scipy.sparse.csr_array(first + second if sign > 0 else first - second)


def _scaled(matrix: scipy.sparse.csr_array, factor: float) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array((matrix.data * factor, matrix.indices, matrix.indptr), shape=matrix.shape)


def _product(left: scipy.sparse.csr_array, right: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """left.T @ right with sorted columns: two such matrices are added several times faster."""
    found = scipy.sparse.csr_array(left.T.tocsr() @ right)
    found.sort_indices()
    return found


def _moved(matrix: scipy.sparse.csr_array, place: Longs, items: int) -> scipy.sparse.csr_array:
    kept = np.flatnonzero(place >= 0)
    if len(kept) < len(place):
        matrix = scipy.sparse.csr_array(matrix[kept][:, kept])
    counts = np.zeros(items, dtype=np.int64)
    counts[place[kept]] = np.diff(matrix.indptr)
    columns = place[kept].astype(matrix.indices.dtype)[matrix.indices]
    return scipy.sparse.csr_array((matrix.data, columns, ragged_offsets(counts)), shape=(items, items))


@dataclass(frozen=True, slots=True)
class CutGrid:
    """Number n stands for the cut at `anchor` + n x `step_s`; those from `first` to `last` are in the sums.

    Of the rows of a cut the `share` of users is kept that its number draws, for them always the same.
    """

    anchor: float  # unix seconds: the end of the log when the model was fitted in full
    step_s: float
    first: int
    last: int  # the newest one whose horizon is over; below `first` when there is none
    share: float = 1.0

    def time(self, number: int) -> float:
        """Unix seconds."""
        return self.anchor + number * self.step_s

    def complete(self, now: float, horizon_s: float) -> int:
        """The newest cut whose horizon is over by `now`."""
        return self._until(now - horizon_s)

    def newest(self, now: float) -> int:
        """The newest cut that has a whole step to look ahead by `now`."""
        return self._until(now - self.step_s)

    def drawn(self, number: int, pairs: ActPairs) -> ActPairs:
        """The rows of cut `number` that are kept."""
        if self.share >= 1.0:
            return pairs
        mixed = pairs.user.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(number % 2**32)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64: Steele et al. (2014)
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        kept = np.flatnonzero((mixed ^ (mixed >> np.uint64(31))) < np.uint64(self.share * 2**64))
        return ActPairs(pairs.before[kept], pairs.after[kept], pairs.user[kept])

    def _until(self, instant: float) -> int:
        """The newest cut that is not after `instant`, give or take what a float cannot tell."""
        return int(np.floor((instant - self.anchor) / self.step_s + 1e-6))


def first_sums(
    history: History, weights: BehaviourWeights, now: float, settings: InterestSettings
) -> tuple[Sums, CutGrid]:
    """The sums of a history, and the cuts of a full fit at `now` with the share of rows that `max_rows` leaves."""
    step, times = cut_times(history, now, settings.cuts(settings.fit_half_life_s))
    grid = CutGrid(now, step, -len(times), -1)
    numbers = range(grid.first, 0)
    parts = rows_of(history, weights, grid, numbers, now, settings)
    rows = sum(len(part.user) for part in parts)
    last = max(grid.complete(now, settings.horizon_s), grid.first - 1)
    grid = replace(grid, last=last, share=min(1.0, settings.max_rows / max(rows, 1)))
    closed = [grid.drawn(number, part) for number, part in zip(numbers, parts, strict=True) if number <= last]
    return next_sums(closed, history.items).plus(together_sums(history, weights, now, settings)), grid


def rows_of(
    history: History,
    weights: BehaviourWeights,
    grid: CutGrid,
    numbers: Iterable[int],
    now: float,
    settings: InterestSettings,
) -> list[ActPairs]:
    """The rows of these cuts that the grid draws, weighted as of `now`."""
    cuts = settings.cuts(settings.fit_half_life_s)
    return [grid.drawn(number, weighted_pairs(history, weights, grid.time(number), now, cuts)) for number in numbers]


def next_sums(parts: Sequence[ActPairs], items: int) -> Sums:
    """What these rows add to the sums of the next head."""
    if not parts:
        return Sums.nothing(items)
    before = scipy.sparse.vstack([part.before for part in parts], format="csr").astype(np.float64)
    after = scipy.sparse.vstack([part.after for part in parts], format="csr").astype(np.float64)
    return Sums(_product(before, before), _product(before, after), Sums.nothing(items).together)


def together_sums(history: History, weights: BehaviourWeights, now: float, settings: InterestSettings) -> Sums:
    """What these users add to the sum of the together head as of `now`."""
    matrix = user_item_matrix(history, weights, now, settings.together_half_life_s).astype(np.float64)
    nothing = Sums.nothing(history.items)
    return Sums(nothing.gram, nothing.target, _product(matrix, matrix))

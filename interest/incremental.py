"""Incremental fitting: from a checkpoint and a longer log to a new interest model, at the price of the new events."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from interest.batch import Floats, Longs
from interest.checkpoint import Checkpoint, fingerprint_of
from interest.errors import InvalidRelease
from interest.fitting import InterestSettings, item_statistics, modelled_items, next_vectors, together_vectors
from interest.model import HEADS, TYPE_WEIGHT_BY_CODE, BehaviourWeights, InterestModel
from interest.next_acts import ACT_WEIGHT, History
from interest.store.protocol import EventColumns
from interest.sums import CutGrid, Sums, first_sums, next_sums, rows_of, together_sums

ROUNDS = 1  # of the range finder, which starts at the vectors of the model before


def first_checkpoint(
    events: EventColumns,
    item_keys: Longs,
    weights: BehaviourWeights,
    now: float,
    settings: InterestSettings,
    before: float = np.inf,
) -> Checkpoint:
    """The checkpoint of a full fit at `now` on these events, which are those before the instant `before`."""
    place, kept = modelled_items(events, item_keys, now, settings.max_items)
    history = History.of(events, place, len(kept), now)
    sums, grid = first_sums(history, weights, now, settings)
    return _checkpoint(events, settings, item_keys[kept], before, now, grid, sums)


def fit_incrementally(
    checkpoint: Checkpoint,
    model: InterestModel,
    events: EventColumns,
    item_keys: Longs,
    item_ids: Sequence[str],
    now: float,
    rng: np.random.Generator,
    before: float = np.inf,
) -> tuple[InterestModel, Checkpoint]:
    """The model of all these events, which are those before the instant `before`, and its checkpoint.

    Its sums are those of a full fit with the cuts and the type weights of the checkpoint, and cuts that have grown
    older than a full fit looks back. Rows are made again for the users that something has happened to: late events,
    items that are modelled now and were not, or the other way round. `model` is the checkpoint's. Raises
    `InvalidRelease` when events that the checkpoint counted are gone, or the log ends before it did.
    """
    if now < checkpoint.now:
        raise InvalidRelease(f"checkpoint at {checkpoint.now:.0f}: the log ends before it, at {now:.0f} (unix seconds)")
    settings = checkpoint.settings
    place, kept = modelled_items(events, item_keys, now, settings.max_items)
    history = History.of(events, place, len(kept), now)
    sums, grid = _advanced(checkpoint, model.weights, events, place, item_keys[kept], history, now)
    open_cuts = range(grid.last + 1, grid.newest(now) + 1)
    still_open = next_sums(
        rows_of(_acting_since(history, grid.time(grid.last + 1)), model.weights, grid, open_cuts, now, settings),
        len(kept),
    )
    ids = [item_ids[row] for row in kept]
    starts = np.split(_placed(model, ids), len(HEADS), axis=1)
    whole = sums.plus(still_open)
    ahead = next_vectors(whole.gram.toarray(), whole.target, settings, ROUNDS, rng, starts[0])
    together = together_vectors(whole.together.toarray(), settings, ROUNDS, rng, starts[1])
    fitted = InterestModel(
        ids,
        np.ascontiguousarray(np.concatenate([ahead[0], together[0]], axis=1)),
        np.ascontiguousarray(np.concatenate([ahead[1], together[1]], axis=1)),
        model.weights,
        len(HEADS),
        item_statistics(history),
    )
    return fitted, _checkpoint(events, settings, item_keys[kept], before, now, grid, sums)


def _advanced(
    old: Checkpoint,
    weights: BehaviourWeights,
    events: EventColumns,
    place: Longs,
    item_keys: Longs,
    history: History,
    now: float,
) -> tuple[Sums, CutGrid]:
    """The sums of `old` with what has happened since, over the items `item_keys` and as of `now`, and their cuts."""
    settings, items, grid = old.settings, len(item_keys), old.grid
    old_place = np.where(old.counted(events), _places(old.item_keys, events.item_key), -1)
    moved = _in_history(events, old_place, old.now) != _in_history(events, place, now)
    changed = np.unique(events.user_key[moved])
    closed_until = grid.time(grid.last) + settings.horizon_s
    late = np.unique(events.user_key[moved & (events.timestamp <= closed_until)])
    closed = range(grid.first, grid.last + 1)

    def of_users(history: History, cuts: range, as_of: float) -> Sums:
        rows = rows_of(_of(history, late), weights, grid, cuts if len(late) else range(0), as_of, settings)
        return next_sums(rows, history.items).plus(together_sums(_of(history, changed), weights, as_of, settings))

    mine = np.isin(events.user_key, changed)
    earlier = History.of(events.where(mine), old_place[mine], len(old.item_keys), old.now)
    kept = old.sums.plus(of_users(earlier, closed, old.now), -1).moved(_places(item_keys, old.item_keys), items)
    grid = replace(grid, last=max(grid.last, grid.complete(now, settings.horizon_s)))
    fresh_cuts = range(old.grid.last + 1, grid.last + 1)
    fresh = rows_of(_acting_since(history, grid.time(old.grid.last + 1)), weights, grid, fresh_cuts, now, settings)
    sums = kept.later(now - old.now, settings).plus(of_users(history, closed, now)).plus(next_sums(fresh, items))
    return sums, grid


def _checkpoint(
    events: EventColumns,
    settings: InterestSettings,
    item_keys: Longs,
    before: float,
    now: float,
    grid: CutGrid,
    sums: Sums,
) -> Checkpoint:
    return Checkpoint(
        settings,
        item_keys,
        np.unique(events.item_key),
        int(events.seq.max(initial=0)),
        before,
        now,
        fingerprint_of(events, np.ones(len(events.seq), dtype=np.bool_)),
        grid,
        sums,
    )


def _in_history(events: EventColumns, place: Longs, now: float) -> npt.NDArray[np.bool_]:
    """[n]: the events that `History.of` takes in."""
    weighs: npt.NDArray[np.bool_] = TYPE_WEIGHT_BY_CODE[events.event_type] != 0
    return (place >= 0) & (events.timestamp <= now) & weighs


def _acting_since(history: History, since: float) -> History:
    """The whole history of the users with an act at or after `since`: nobody else has a row at a cut from then on."""
    acts = (TYPE_WEIGHT_BY_CODE[history.event_type] >= ACT_WEIGHT) & (history.time >= since)
    return _of(history, np.unique(history.user[acts]))


def _of(history: History, users: Longs) -> History:
    return history.where(np.isin(history.user, users))


def _places(sorted_keys: Longs, keys: Longs) -> Longs:
    """Place of each of `keys` among the ascending `sorted_keys`, -1 where it is not among them."""
    if not len(sorted_keys):
        return np.full(len(keys), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.where(sorted_keys[place] == keys, place, -1)


def _placed(model: InterestModel, ids: Sequence[str]) -> Floats:
    """The model's output vectors float32 [len(ids), D] of these items, zeros for those that are new."""
    row_by_id = {item_id: row for row, item_id in enumerate(model.item_ids)}
    rows = np.array([row_by_id.get(item_id, len(row_by_id)) for item_id in ids], dtype=np.int64)
    nothing = np.zeros((1, model.dims), dtype=np.float32)
    found: Floats = np.concatenate([model.output_vectors, nothing])[rows]
    return found

"""Fitting the interest model: what users do next and what they have to do with together, both at low rank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from interest.batch import Doubles, Floats, Longs
from interest.events import EVENT_CODES, EventType
from interest.low_rank import ease, factorised, gram_of, reduced_rank, solved
from interest.model import DAY_S, HEADS, TYPE_WEIGHT_BY_CODE, BehaviourWeights, InterestModel
from interest.next_acts import ACT_WEIGHT, Cuts, History, act_pairs
from interest.store.protocol import EventColumns
from interest.type_weights import learn_type_weights, learned_types

_VALUED = [EVENT_CODES[EventType.PURCHASE], EVENT_CODES[EventType.RATING]]
DENSE_SHARE = 0.15  # of entries that are not zero, from which on a dense product is the faster one


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestSettings:
    """How the model is fitted and how a user's behaviour is weighted; the defaults are tuned on validation data.

    `max_items`: the regression factorises a dense items x items matrix, so only the items with the most users enter it
    (6,000: 288 MB and a few seconds of one core). The others have no collaborative vector and come through content
    and popularity. `max_rows` bounds the histories that are looked at.
    """

    rank: int = 256  # of each head
    l2: float = 60.0
    together_l2: float = 300.0
    together_half_life_s: float = 30 * DAY_S
    step_s: float = 7 * DAY_S  # a user's history is looked at this often
    horizon_s: float = 30 * DAY_S  # and compared with what the user did for the first time within this time
    fit_half_life_s: float = 60 * DAY_S
    user_half_life_s: float = 180 * DAY_S
    max_items: int = 6_000
    max_rows: int = 60_000
    rounds: int = 2

    def cuts(self, half_life_s: float) -> Cuts:
        """The cuts of these settings, with weights that fall to half within `half_life_s`."""
        return Cuts(step_s=self.step_s, horizon_s=self.horizon_s, half_life_s=half_life_s, max_rows=self.max_rows)


def fit_interest_model(
    events: EventColumns,
    item_keys: Longs,
    item_ids: Sequence[str],
    now: float,
    settings: InterestSettings,
    rng: np.random.Generator,
) -> InterestModel:
    """Both heads of the model, the weights of event types and the items' statistics, on the events up to `now`.

    `item_keys` (ascending) and `item_ids` name the items to model; events after `now` and of other items are left out.
    """
    place, kept = modelled_items(events, item_keys, now, settings.max_items)
    weights = _behaviour_weights(events, now, settings)
    history = History.of(events, place, len(kept), now)
    if len(learned_types(history)) > 1:
        # Learned on users whose acts the item vectors have not seen: they know their own users' acts by heart.
        ahead = _next_head(history.of_users(0), weights, now, settings, rng)
        weights = learn_type_weights(
            history.of_users(1),
            weights,
            *ahead,
            now,
            settings.cuts(np.inf),
            int(rng.integers(2**31)),
        )
    ahead = _next_head(history, weights, now, settings, rng)
    together = _together_head(history, weights, now, settings, rng)
    return InterestModel(
        [item_ids[row] for row in kept],
        np.ascontiguousarray(np.concatenate([ahead[0], together[0]], axis=1)),
        np.ascontiguousarray(np.concatenate([ahead[1], together[1]], axis=1)),
        weights,
        len(HEADS),
        item_statistics(history),
    )


def _behaviour_weights(events: EventColumns, now: float, settings: InterestSettings) -> BehaviourWeights:
    ratings = events.value[(events.event_type == EVENT_CODES[EventType.RATING]) & (events.timestamp <= now)]
    ratings = ratings[~np.isnan(ratings)]
    low, high = np.percentile(ratings, [5, 95]) if len(ratings) else (0.0, 0.0)
    return BehaviourWeights(settings.user_half_life_s, float(low), float(high))


def modelled_items(events: EventColumns, item_keys: Longs, now: float, most: int) -> tuple[Longs, Longs]:
    """Place of each event's item among the modelled ones (-1: none), and these items' places in `item_keys`.

    Modelled are the `most` items with the most users of positive events, ties by lower key.
    """
    item = np.searchsorted(item_keys, events.item_key)
    item[item == len(item_keys)] = 0
    use = (TYPE_WEIGHT_BY_CODE[events.event_type] > 0) & (events.timestamp <= now)
    known: npt.NDArray[np.bool_] = np.zeros(len(item), dtype=np.bool_)
    if len(item_keys):
        known = item_keys[item] == events.item_key
    pairs = np.unique(events.user_key[use & known] * (len(item_keys) + 1) + item[use & known])
    users = np.bincount(pairs % (len(item_keys) + 1), minlength=len(item_keys))
    kept = np.sort(np.argsort(-users, kind="stable")[:most])
    kept = kept[users[kept] > 0]
    place = np.full(len(item_keys) + 1, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    return np.where(known, place[item], -1), kept


def _next_head(
    history: History, weights: BehaviourWeights, now: float, settings: InterestSettings, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Weights B that predict a user's next new items from the history, as input and output vectors.

    min ||Y - X B||^2 + l2 ||B||^2 over the rows of `act_pairs`. EASE predicts a history from itself, in no order of
    time; here X is the history at a cut and Y what came after it, which is what a recommendation is asked for.
    """
    pairs = act_pairs(
        history,
        weights,
        now,
        settings.cuts(settings.fit_half_life_s),
        rng,
    )
    target = scipy.sparse.csr_array(pairs.before.T @ pairs.after).astype(np.float64)
    return next_vectors(gram_of(pairs.before), target, settings, settings.rounds, rng)


def next_vectors(
    gram: Doubles,
    target: scipy.sparse.csr_array,
    settings: InterestSettings,
    rounds: int,
    rng: np.random.Generator,
    start: Floats | None = None,
) -> tuple[Floats, Floats]:
    """The next head from its sums X'X and X'Y; `start`: see `reduced_rank`."""
    regularised = gram.copy()
    regularised[np.diag_indices_from(regularised)] += settings.l2
    factor = factorised(regularised)
    after = target.toarray() if target.nnz > DENSE_SHARE * gram.size else target

    def weighted(basis: Doubles) -> Doubles:
        return solved(factor, after @ basis)

    def transposed(basis: Doubles) -> Doubles:
        found: Doubles = after.T @ solved(factor, basis)
        return found

    return reduced_rank(gram, weighted, transposed, settings.rank, rounds, rng, start)


def _together_head(
    history: History, weights: BehaviourWeights, now: float, settings: InterestSettings, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """EASE on the users x items matrix: Steck, H. (2019), "Embarrassingly Shallow Autoencoders for Sparse Data", eq. 8.

    An entry is the greatest type weight x decay among the pair's positive events.
    """
    gram = gram_of(user_item_matrix(history, weights, now, settings.together_half_life_s))
    return together_vectors(gram, settings, settings.rounds, rng)


def together_vectors(
    gram: Doubles, settings: InterestSettings, rounds: int, rng: np.random.Generator, start: Floats | None = None
) -> tuple[Floats, Floats]:
    """The together head from its sum X'X; `start`: see `reduced_rank`."""
    item_weights = ease(gram, settings.together_l2)
    return reduced_rank(
        gram,
        lambda basis: item_weights @ basis,
        lambda basis: item_weights.T @ basis,
        settings.rank,
        rounds,
        rng,
        start,
    )


def user_item_matrix(
    history: History, weights: BehaviourWeights, now: float, half_life_s: float
) -> scipy.sparse.csr_array:
    """float32 [users, items]"""
    weight = np.array(weights.type_weights)[history.event_type] * np.exp2((history.time - now) / half_life_s)
    use = weight > 0
    users, user = np.unique(history.user[use], return_inverse=True)
    item, weight = history.item[use], weight[use]
    order = np.lexsort((weight, item, user))
    user, item, weight = user[order], item[order], weight[order]
    last = np.ones(len(order), dtype=np.bool_)  # the greatest weight of a (user, item) pair is its last row
    last[:-1] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
    entries = (weight[last].astype(np.float32), (user[last], item[last]))
    return scipy.sparse.csr_array(entries, shape=(len(users), history.items))


def item_statistics(history: History) -> Floats:
    """float32 [items, len(STATISTICS)] over the whole history; see `interest.model.STATISTICS`."""
    acts = TYPE_WEIGHT_BY_CODE[history.event_type] >= ACT_WEIGHT
    pair, item = (history.user * history.items + history.item)[acts], history.item[acts]
    order = np.lexsort((history.time[acts], pair))
    pair, item, time = pair[order], item[order], history.time[acts][order]
    again = np.append(False, pair[1:] == pair[:-1])[: len(pair)]
    users = np.bincount(item[~again], minlength=history.items)
    begins = np.flatnonzero(~again)
    repeated = np.diff(np.append(begins, len(pair))) > 1
    repeaters = np.bincount(item[begins[repeated]], minlength=history.items)
    days = np.append(0.0, np.diff(time))[: len(time)][again] / DAY_S
    gaps, repeats = (
        np.bincount(item[again], np.log1p(days), history.items),
        np.bincount(item[again], minlength=history.items),
    )
    valued = np.isin(history.event_type, _VALUED)
    each = np.log1p(np.maximum(history.value - _before(history), 0.0))[valued]
    values = np.bincount(history.item[valued], each, history.items)
    number = np.bincount(history.item[valued], minlength=history.items)
    columns = [
        np.log1p(users),
        (users + repeats) / np.maximum(users, 1),
        (repeaters + 1.0) / (users + 10.0),
        gaps / np.where(repeats > 0, repeats, np.nan),
        values / np.where(number > 0, number, np.nan),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _before(history: History) -> Doubles:
    """The running value before each event: its own value is the difference."""
    earlier = np.zeros(len(history.value))
    earlier[1:] = np.where(history.count[1:] > 1, history.value[:-1], 0.0)
    return earlier

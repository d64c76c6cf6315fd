"""Learning what each type of event says: a view, a like or a dislike, by how well it tells the next acts."""

from dataclasses import replace

import numpy as np
import scipy.sparse

from interest.batch import Doubles, Floats, Longs
from interest.events import EVENT_TYPES
from interest.model import TYPE_WEIGHT_BY_CODE, BehaviourWeights
from interest.next_acts import ActPairs, Cuts, History, act_pairs

FEWEST_EVENTS = 200  # of a type; with fewer its weight stays where it starts
MOST_CHOICES = 100_000
PRIOR_CHOICES = 300.0  # so many choices weigh as much as the weights that learning starts from
NEWTON_STEPS = 12
FEWEST_CHOICES = 100


def learned_types(history: History) -> Longs:
    """Codes of the event types that have a weight and enough events; fewer than two leave nothing to learn."""
    counts = np.bincount(history.event_type, minlength=len(EVENT_TYPES))
    return np.flatnonzero((counts >= FEWEST_EVENTS) & (TYPE_WEIGHT_BY_CODE != 0))


def learn_type_weights(
    history: History,
    weights: BehaviourWeights,
    input_vectors: Floats,
    output_vectors: Floats,
    now: float,
    cuts: Cuts,
    seed: int,
) -> BehaviourWeights:
    """`weights` with the types' weights that best tell what users did next from what others did.

    A choice is an item that a user then acted on beside one that was not, drawn as often as it is acted on, so that
    popularity tells nothing. Its log odds are the sum over types of a factor x the difference of the two items' scores
    by that type's behaviour alone, with the item vectors given (Rendle, S. et al. (2009), "BPR", eq. 4, with the
    factors as its only parameters), drawn to one common factor. A positive type never turns negative or the other way
    round, and the greatest weight is 1.
    """
    types = learned_types(history)
    if len(types) < 2:
        return weights
    parts = [
        act_pairs(
            history,
            replace(weights, type_weights=_alone(weights, int(code))),
            now,
            cuts,
            np.random.default_rng(seed),
            unit=False,
        )
        for code in types
    ]
    rows, wanted, other = _choices(parts[0].after, np.random.default_rng(seed))
    if len(rows) < FEWEST_CHOICES:
        return weights
    scores = _differences(parts, rows, output_vectors[wanted] - output_vectors[other], input_vectors)
    common, each = _fitted(scores)
    if common <= 0:
        return weights
    learned = np.array(weights.type_weights)
    learned[types] *= np.maximum(each / common, 0.0)
    greatest = learned.max()
    return replace(weights, type_weights=tuple((learned / greatest).tolist())) if greatest > 0 else weights


def _alone(weights: BehaviourWeights, code: int) -> tuple[float, ...]:
    return tuple(weight if place == code else 0.0 for place, weight in enumerate(weights.type_weights))


def _choices(after: scipy.sparse.csr_array, rng: np.random.Generator) -> tuple[Longs, Longs, Longs]:
    """Row, wanted item and another item of each choice; an item that the row wants as well is no alternative."""
    entries = scipy.sparse.coo_array(after)
    rows, wanted = entries.row.astype(np.int64), entries.col.astype(np.int64)
    kept = np.sort(rng.permutation(len(rows))[:MOST_CHOICES])
    other = rng.permutation(wanted)[kept]
    rows, wanted = rows[kept], wanted[kept]
    taken = np.isin(rows * after.shape[1] + other, entries.row.astype(np.int64) * after.shape[1] + entries.col)
    return rows[~taken], wanted[~taken], other[~taken]


def _differences(parts: list[ActPairs], rows: Longs, outputs: Floats, input_vectors: Floats) -> Doubles:
    """[choices, types]: difference of the two items' scores by each type, over the length of the whole behaviour."""
    square = sum(part.before.multiply(part.before).sum(axis=1) for part in parts)
    length = np.sqrt(np.where(square > 0, square, 1.0))[rows]
    columns = []
    for part in parts:
        users: Floats = part.before @ input_vectors
        columns.append(np.einsum("nd,nd->n", users[rows], outputs) / length)
    return np.stack(columns, axis=1).astype(np.float64)


def _fitted(scores: Doubles) -> tuple[float, Doubles]:
    """The one factor for all types that fits the choices best, and one for each type, drawn to it."""
    spread = float(scores.sum(axis=1).std()) or 1.0
    unit = scores / spread
    common = _logistic(unit.sum(axis=1, keepdims=True), np.zeros(1), np.ones(1))
    curvature = (unit * unit).mean(axis=0) / 4  # of one choice, at even odds
    start = np.full(scores.shape[1], common[0])
    return float(common[0]), _logistic(unit, start, PRIOR_CHOICES * curvature)


def _logistic(features: Doubles, start: Doubles, ridge: Doubles) -> Doubles:
    """argmin of sum ln(1 + exp(-features @ x)) + sum of ridge / 2 x (x - start)^2, by Newton's method."""
    found = start.copy()
    for _ in range(NEWTON_STEPS):
        chance = 1.0 / (1.0 + np.exp(np.clip(features @ found, -30, 30)))
        slope = -features.T @ chance + ridge * (found - start)
        bend = (features * (chance * (1.0 - chance))[:, None]).T @ features + np.diag(ridge)
        found = found - np.linalg.solve(bend, slope)
    return found

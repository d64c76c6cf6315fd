"""Blends: a weighted sum of baselines, each brought to one scale for each request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interest.batch import Floats
from ranking.baselines.base import Baseline, Scorer, Settings
from ranking.baselines.data import Requests, World

WEIGHTS = (0.0, 0.03, 0.1, 0.2, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the parts of a blend: `baseline` with one of `candidates`; `logarithm` for counts."""

    baseline: Baseline
    candidates: Sequence[Settings]
    logarithm: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A part with its settings and weight chosen."""

    part: Part
    settings: Settings
    weight: float


@dataclass(frozen=True, slots=True)
class BlendScorer:
    """Sum of weight x the part's scores over their own highest of the request."""

    scorers: Sequence[tuple[Scorer, float, bool]]  # scorer, weight, logarithm

    def scores(self, requests: Requests) -> Floats:
        return blended([(scaled(s.scores(requests), log), weight) for s, weight, log in self.scorers])


def fit_blend(world: World, chosen: Sequence[Chosen]) -> BlendScorer:
    """The blend over a world."""
    return BlendScorer([(one.part.baseline.fit(world, one.settings), one.weight, one.part.logarithm) for one in chosen])


def scaled(scores: Floats, logarithm: bool) -> Floats:
    """Scores of at least 0 over the highest of each request, ln(1 + score) first for counts."""
    found = np.maximum(scores, 0.0)
    if logarithm:
        found = np.log1p(found)
    highest = found.max(axis=1, keepdims=True, initial=0.0)
    relative: Floats = found / np.where(highest > 0, highest, np.float32(1.0))
    return relative


def blended(parts: Sequence[tuple[Floats, float]]) -> Floats:
    """The weighted sum."""
    total: Floats = np.zeros_like(parts[0][0])
    for scores, weight in parts:
        if weight:
            total += np.float32(weight) * scores
    return total


def described(chosen: Sequence[Chosen]) -> Mapping[str, object]:
    """Settings and weight by the name of the part, as they are written down."""
    return {one.part.baseline.name: {**one.settings, "weight": one.weight} for one in chosen}

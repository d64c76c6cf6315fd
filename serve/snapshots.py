"""What the pages after the first need of a ranking, packed: about 2 kB for 200 items."""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from interest.batch import Floats, Longs
from ranking.sources import SCORES
from serve.ranker import Ranking
from serve.schema import Generate, Include, RecommendationRequest, Tier


class Kept(msgspec.Struct, frozen=True):
    """One ranking, best first, and what its request asked for. Arrays are little-endian bytes."""

    shown: int  # items of the first page
    keys: bytes  # uint32, or int64 when one of them is too large for that
    scores: bytes  # float32
    parts: bytes  # float32 [items, sources], empty unless scores were asked for
    propensity: bytes  # float64 of the first places; 1 at those after them, which no draw can reach
    interests: list[tuple[str, str, float, bool]]  # empty unless text or an explanation was asked for
    generate: str  # JSON, "" = no text
    include: list[Include]
    tier: Tier
    degraded: list[str]
    model_versions: dict[str, str]

    def ranking(self) -> Ranking:
        """As it was when the first page was made."""
        scores: Floats = np.frombuffer(self.scores, dtype="<f4")
        keys: Longs = np.frombuffer(self.keys, dtype="<u4" if len(self.keys) == len(self.scores) else "<i8")
        parts = np.full((len(scores), len(SCORES)), math.nan, dtype=np.float32)
        if len(self.parts) == parts.nbytes:
            parts = np.frombuffer(self.parts, dtype="<f4").reshape(parts.shape)
        propensity = np.ones(len(scores))
        drawn = np.frombuffer(self.propensity, dtype="<f8")
        propensity[: len(drawn)] = drawn
        return Ranking(keys.astype(np.int64), scores, parts, propensity, tuple(self.interests), True, {})

    def asked_text(self) -> Generate | None:
        """What to write about each item, as for the first page."""
        return Generate.model_validate_json(self.generate) if self.generate else None


def packed(
    request: RecommendationRequest,
    shown: int,
    tier: Tier,
    degraded: Sequence[str],
    model_versions: Mapping[str, str],
    ranking: Ranking,
) -> bytes:
    """`ranking` holds the `shown` items first, then those of the pages to come."""
    small = int(ranking.item_keys.max(initial=0)) < 2**32
    drawn = len(np.trim_zeros(ranking.propensity != 1.0, "b"))
    personal = request.generate is not None or "explanation" in request.include
    return msgspec.msgpack.encode(
        Kept(
            shown=shown,
            keys=ranking.item_keys.astype("<u4" if small else "<i8").tobytes(),
            scores=ranking.scores.astype("<f4").tobytes(),
            parts=ranking.parts.astype("<f4").tobytes() if "scores" in request.include else b"",
            propensity=ranking.propensity[:drawn].astype("<f8").tobytes(),
            interests=list(ranking.interests) if personal else [],
            generate=request.generate.model_dump_json() if request.generate else "",
            include=list(request.include),
            tier=tier,
            degraded=[reason for reason in degraded if reason != "generation"],
            model_versions=dict(model_versions),
        )
    )


def unpacked(body: bytes) -> Kept:
    return msgspec.msgpack.decode(body, type=Kept)

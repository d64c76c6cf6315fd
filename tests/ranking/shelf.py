"""A catalogue, a log, users and requests for the tests of what retrieves."""

from dataclasses import replace

import numpy as np

from interest.batch import Doubles, Floats, Longs, UserBatch, ragged_offsets
from interest.catalogue import Catalogue
from interest.events import EVENT_CODES, EventType
from interest.items import DOMAINS, Item
from interest.store.protocol import EventColumns, ItemChange
from ranking.batch import CandidateBatch, CandidateRequest
from ranking.boosting import Boosts
from ranking.item_statistics import ItemStatistics
from ranking.lambdamart import BoosterSettings, RankingData, fit_pool_trees
from ranking.pool import Pool
from ranking.pool_features import POOL_FEATURES
from ranking.popularity import DAY_S, Popularity
from ranking.retriever import Retriever
from ranking.sources import SCORES

ITEMS, DIMS, WIDTH, NOW = 400, 8, 6, 100 * DAY_S
LEARNED = 300  # items with a collaborative vector; the others are new


def item(key: int) -> Item:
    return Item(
        item_id=f"i{key}",
        title=f"Thing number {key}",
        domain=DOMAINS[key % len(DOMAINS)],
        language=("en", "zh")[key % 2],
        price=float(key % 50),
        created_at=NOW + 30 * DAY_S if key % 40 == 7 else None,
        available=key % 25 != 3,
    )


def changes(rng: np.random.Generator) -> list[ItemChange]:
    vectors = rng.normal(size=(ITEMS, WIDTH)).astype(np.float32)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    encoded = [None if key % 10 == 9 else vectors[key] for key in range(ITEMS)]
    return [ItemChange(key + 1, key, f"i{key}", item(key), encoded[key], "e") for key in range(ITEMS)]


def log(rng: np.random.Generator, count: int = 3_000) -> EventColumns:
    keys = np.minimum(rng.zipf(1.3, size=count), LEARNED) - 1
    kinds = rng.choice([EVENT_CODES[EventType.VIEW], EVENT_CODES[EventType.PURCHASE]], size=count).astype(np.int8)
    times = np.sort(rng.uniform(0, 120 * DAY_S, size=count))
    return EventColumns(np.arange(count), np.zeros(count, np.int64), keys, kinds, times, np.full(count, np.nan))


def retriever(rng: np.random.Generator, pool: tuple[str, int] | None = None) -> Retriever:
    """`pool`: the text of its trees and its size."""
    catalogue, popularity = Catalogue(WIDTH), Popularity()
    vectors = rng.normal(size=(LEARNED, DIMS)).astype(np.float32)
    chosen = None if pool is None else Pool.of(*pool, popularity, ItemStatistics.nothing())
    made = Retriever(catalogue, popularity, np.arange(LEARNED), vectors, heads=2, pool=chosen)
    made.apply(changes(rng), log(rng))
    return made


def users(
    rng: np.random.Generator,
    behaviour: list[dict[int, EventType]],
    now: Doubles | None = None,
    vectors: bool = True,
) -> UserBatch:
    """One user per dict of item key -> what they did with it, ten days before NOW."""
    count = len(behaviour)
    keys = np.array([key for items in behaviour for key in sorted(items)], dtype=np.int64)
    kinds = np.array([EVENT_CODES[items[key]] for items in behaviour for key in sorted(items)], dtype=np.int8)
    content = rng.normal(size=(count, 2, WIDTH)).astype(np.float32)
    content = content / np.linalg.norm(content, axis=2, keepdims=True)
    at = np.full(len(keys), NOW - 10 * DAY_S)
    vector = (vectors * rng.normal(size=(count, DIMS))).astype(np.float32)
    return UserBatch(
        now=np.full(count, NOW) if now is None else now,
        vector=vector,
        recent_vector=vector[:, ::-1].copy(),
        session_vector=vector[:, ::-1].copy(),
        content=vectors * content,
        behaviour_offsets=ragged_offsets([len(items) for items in behaviour]),
        behaviour_item=keys,
        behaviour_type=kinds,
        behaviour_count=np.ones(len(keys), np.int32),
        behaviour_value=np.zeros(len(keys)),
        behaviour_first_at=at,
        behaviour_last_at=at,
        behaviour_decayed=np.ones((len(keys), 3)),
        facet_offsets=np.zeros(count + 1, np.int64),
        facet_hash=np.zeros(0, np.uint64),
        facet_weight=np.zeros(0, np.float32),
    )


def alike(batch: UserBatch) -> UserBatch:
    """Every user with the vectors of the first one."""
    rows = np.zeros(len(batch.now), dtype=np.int64)
    vectors = {name: getattr(batch, name)[rows] for name in ("vector", "recent_vector", "session_vector", "content")}
    return replace(batch, **vectors)


def requests(
    count: list[int],
    exclude_seen: bool = False,
    exclude: list[list[int]] | None = None,
    domain: str = "",
    language: str = "",
    expression: str = "",
    created_until: list[float] | None = None,
    given: list[list[int] | None] | None = None,
) -> CandidateRequest:
    size, lists, own = len(count), exclude or [[]] * len(count), given or [None] * len(count)
    return CandidateRequest(
        count=np.array(count),
        created_until=np.array(created_until or [NOW] * size),
        exclude_seen=np.full(size, exclude_seen),
        exclude_offsets=ragged_offsets([len(part) for part in lists]),
        exclude_item=np.array([key for part in lists for key in part], dtype=np.int64),
        domain=np.array([domain] * size, dtype=object),
        language=np.array([language] * size, dtype=object),
        filter=np.array([expression] * size, dtype=object),
        given=np.array([part is not None for part in own]),
        given_offsets=ragged_offsets([len(part or []) for part in own]),
        given_item=np.array([key for part in own for key in part or []], dtype=np.int64),
    )


def of(batch: CandidateBatch, user: int) -> tuple[Longs, Floats]:
    part = slice(batch.candidate_offsets[user], batch.candidate_offsets[user + 1])
    return batch.candidate_item[part], batch.candidate_score[part]


def boosts(*each: list[tuple[str, float]]) -> Boosts:
    every = [boost for own in each for boost in own]
    return Boosts(
        boost_offsets=ragged_offsets([len(own) for own in each]),
        boost_filter=np.array([expression for expression, _ in every], dtype=object),
        boost_factor=np.array([factor for _, factor in every]),
    )


def pool_trees() -> str:
    """They like what the interest model and the texts speak for, in steps, so that there are equal scores."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4_000, len(POOL_FEATURES))).astype(np.float32)
    wanted = values[:, SCORES.index("collaborative")] + values[:, SCORES.index("content")]
    data = RankingData(values, (wanted > 1.5).astype(np.float32), np.full(40, 100))
    return fit_pool_trees(data, BoosterSettings(trees=5, leaves=8, threads=1), seed=0)

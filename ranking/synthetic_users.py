"""Users of the synthetic world: who they are and what they secretly care about."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranking.synthetic_items import Entry, pick


@dataclass(frozen=True, slots=True)
class SyntheticUser:
    """One user with latent interests: `topics[i]` weighs `start[i]` when the year begins and `end[i]` when it ends."""

    user_id: str
    language: str  # "en", "zh" or "both"
    price_level: float  # 0 buys the cheapest of a category, 1 the dearest
    joined_at: float  # unix seconds
    activity: float  # relative to other users
    topics: tuple[str, ...]
    start: tuple[float, ...]
    end: tuple[float, ...]
    favourite_tags: frozenset[str] = frozenset()

    @property
    def attributes(self) -> Mapping[str, str]:
        """What a real user table would hold of them."""
        return {"language": self.language, "price_level": f"{self.price_level:.2f}"}


def make_users(
    rng: np.random.Generator, count: int, entries: list[Entry], start: float, end: float
) -> list[SyntheticUser]:
    """Users with 2 to 4 topics in 1 to 3 domains; four in ten change their interests during the year."""
    tags = _tags_by_topic(entries)
    by_domain: dict[str, list[str]] = {}
    for topic in tags:
        by_domain.setdefault(topic.split("/")[0], []).append(topic)
    return [_make_user(rng, f"user-{number + 1:05d}", by_domain, tags, (start, end)) for number in range(count)]


def _tags_by_topic(entries: list[Entry]) -> dict[str, list[str]]:
    tags: dict[str, dict[str, None]] = {}
    for entry in entries:
        tags.setdefault(entry.topic, {}).update(dict.fromkeys(entry.item.tags))
    return {topic: list(names) for topic, names in tags.items()}


def _make_user(
    rng: np.random.Generator,
    user_id: str,
    by_domain: dict[str, list[str]],
    tags: dict[str, list[str]],
    span: tuple[float, float],
) -> SyntheticUser:
    domains = tuple(by_domain)
    chosen = [domains[index] for index in rng.permutation(len(domains))[: int(rng.integers(1, 4))]]
    pool = [topic for domain in chosen for topic in by_domain[domain]]
    size = min(len(pool), int(rng.integers(2, 5)))
    interests = tuple(pool[index] for index in rng.permutation(len(pool))[:size])
    start = rng.dirichlet(np.full(size, 1.5))
    end = rng.dirichlet(np.full(size, 1.5)) if rng.random() < 0.4 else start
    favourites = {tag for topic in interests for tag in rng.permutation(np.array(tags[topic]))[:4].tolist()}
    late = rng.random() < 0.3
    joined = span[0] + (rng.uniform(0.0, 0.9) * (span[1] - span[0]) if late else 0.0)
    return SyntheticUser(
        user_id=user_id,
        language=pick(rng, ("en", "en", "zh", "zh", "both")),
        price_level=float(rng.random()),
        joined_at=float(int(joined)),
        activity=float(rng.lognormal(0.0, 0.9)),
        topics=interests,
        start=tuple(start.tolist()),
        end=tuple(end.tolist()),
        favourite_tags=frozenset(favourites),
    )

"""Vectors and queries as a trained item-item model has them, at any size, for the benchmark of the index."""

from dataclasses import dataclass

import numpy as np

from interest.batch import Floats, Longs

CLUSTERS = 2_000
BASES = 40  # sets of directions that clusters share
DIRECTIONS = 24  # in which the items of a cluster differ
CHUNK = 50_000
DESCRIPTION = (
    f"{CLUSTERS} cluster centres from a Gaussian whose spectrum falls as 1/sqrt(j); cluster sizes fall as rank^-0.8; "
    f"within a cluster {DIRECTIONS} directions, shared by the clusters of one of {BASES} groups, plus isotropic noise "
    "of length 0.3; unit length times popularity^0.15, popularity Pareto(1.2). A query is the sum of 3 to 39 items "
    "decayed by 0.9 each, from 1 to 4 clusters (popular items first), 15 % of them from anywhere."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Vectors of unequal length in clusters, and queries that are sums of them."""

    vectors: Floats  # [n, D]
    queries: Floats  # [Q, D]


def make_sample(items: int, queries: int, dims: int, seed: int) -> Sample:
    """Float32; see `DESCRIPTION`, which the results repeat."""
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(1, dims + 1) ** -0.5).astype(np.float32)
    spectrum /= np.linalg.norm(spectrum)
    centres = rng.normal(size=(CLUSTERS, dims)).astype(np.float32) * spectrum
    bases = rng.normal(size=(BASES, DIRECTIONS, dims)).astype(np.float32) * spectrum
    share = np.arange(1, CLUSTERS + 1) ** -0.8
    cluster = rng.choice(CLUSTERS, size=items, p=share / share.sum())
    lengths = (np.minimum(rng.pareto(1.2, size=items) + 1, 1e4) ** 0.15).astype(np.float32)
    vectors = np.empty((items, dims), dtype=np.float32)
    for start in range(0, items, CHUNK):
        part = slice(start, min(start + CHUNK, items))
        rows = _members(rng, cluster[part], centres, bases)
        vectors[part] = rows * lengths[part, None]
    return Sample(vectors, _users(rng, vectors, lengths, cluster, share / share.sum(), queries))


def _members(rng: np.random.Generator, cluster: Longs, centres: Floats, bases: Floats) -> Floats:
    """One unit vector for each item, by its cluster."""
    dims = centres.shape[1]
    group = cluster % BASES
    own = rng.normal(size=(len(cluster), DIRECTIONS)).astype(np.float32) / np.float32(np.sqrt(DIRECTIONS))
    rows = centres[cluster] + 0.3 * rng.normal(size=(len(cluster), dims)).astype(np.float32) / np.float32(np.sqrt(dims))
    for number in np.unique(group):
        members = group == number
        rows[members] += np.float32(0.7) * (own[members] @ bases[number])
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _users(
    rng: np.random.Generator, vectors: Floats, lengths: Floats, cluster: Longs, share: Floats, count: int
) -> Floats:
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(CLUSTERS + 1))
    queries = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    for user in range(count):
        interests = rng.choice(CLUSTERS, size=int(rng.integers(1, 5)), p=share)
        for step in range(int(rng.integers(3, 40))):
            chosen = int(rng.choice(interests))
            first, last = int(starts[chosen]), int(starts[chosen + 1])
            if first == last or rng.random() < 0.15:
                item = int(rng.integers(len(vectors)))
            else:
                seen = order[rng.integers(first, last, size=3)]
                item = int(seen[np.argmax(lengths[seen])])
            queries[user] += np.float32(0.9**step) * vectors[item]
    return queries

"""What the benchmark reads of a release and its store."""

from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.peers import trivial
from interest.batch import Longs
from interest.lookup import CONTENT_VECTORS
from interest.store.open import open_reader
from ranking.encoder_files import encoder_identity
from ranking.release import ModelRepository
from serve.config import ServerConfig

PAGE = 10_000


def vector_sizes(config: ServerConfig) -> tuple[int, tuple[int, int]]:
    """Size of the release's interest vectors; number and size of its content vectors."""
    repository = ModelRepository(Path(config.repository))
    release = repository.read_release(config.release)
    _, encoded = encoder_identity(repository.open_version("encoder", release.models["encoder"]).folder)
    rank = int(repository.open_version("interest", release.models["interest"]).manifest["dims"]["rank"])
    return rank, (CONTENT_VECTORS, encoded)


def item_keys(config: ServerConfig) -> Longs:
    """Keys of the items that the trivial stages speak of, by place; in a small catalogue again and again."""
    with closing(open_reader(config.store.url)) as reader:
        keys = [change.item_key for change in reader.item_changes(0, trivial.ITEMS)]
    return np.resize(np.array(keys, dtype=np.int64), trivial.ITEMS)


def item_ids(config: ServerConfig) -> list[str]:
    """The same as public ids."""
    with closing(open_reader(config.store.url)) as reader:
        ids = [change.item_id for change in reader.item_changes(0, trivial.ITEMS)]
    return [ids[place % len(ids)] for place in range(trivial.ITEMS)]


def catalogue(config: ServerConfig) -> dict[int, str]:
    """Public id by key, of all items."""
    found: dict[int, str] = {}
    seq = 0
    with closing(open_reader(config.store.url)) as reader:
        while changes := reader.item_changes(seq, PAGE):
            seq = changes[-1].seq
            found |= {change.item_key: change.item_id for change in changes}
    return found

"""Real items of a data folder, and readers of them with the interests that they have shown."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from interest.errors import InvalidConfig
from interest.events import Event, Record
from interest.features import facet_hash, item_facets
from interest.items import Item
from interest.store.protocol import AppendResult, PutResult
from ranking.data_folder import find_mapping
from ranking.importers import import_data
from serve.generation.prompt import ContentType, GenerationTask, Language
from serve.stages.candidates import READABLE_INTERESTS
from serve.telling import told
from serve.text_origin import facts_for

HISTORY = 20  # latest items of a reader that count
LEAST_HISTORY = 5
SHELF_ITEMS = 8  # that a made reader has read
FITTING_SHARE = 0.5  # of the items told to a reader: they bear one of the reader's interests as category or tag


@dataclass(frozen=True, slots=True)
class Reader:
    """Interests (name, weight), heaviest first and at most as many as travel with a request, and what they rest on."""

    interests: tuple[tuple[str, float], ...]
    told: tuple[tuple[str, float], ...]  # as the language model is told them
    history: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """One data folder."""

    name: str
    items: Sequence[Item]
    readers: Sequence[Reader]

    def item_for(self, reader: Reader, rng: np.random.Generator) -> Item:
        """One that the reader does not know; a fitting one with a chance of `FITTING_SHARE`."""
        liked = {name.casefold() for name, _ in reader.interests[:READABLE_INTERESTS]}
        known = {item.item_id for item in reader.history}
        fitting = rng.random() < FITTING_SHARE
        item = self.items[int(rng.integers(len(self.items)))]
        for _ in range(200):
            borne = {name.casefold() for name in (*item.categories, *item.tags)}
            if item.item_id not in known and (not fitting or borne & liked):
                break
            item = self.items[int(rng.integers(len(self.items)))]
        return item


def load_corpus(folder: Path, readers: int, rng: np.random.Generator) -> Corpus:
    """Readers are users of the log where the folder has one, and otherwise made: each has read books of one shelf.

    Raises `InvalidConfig` for a folder that is no catalogue.
    """
    found = find_mapping(folder)
    if found is None or found[0].items is None:
        raise InvalidConfig(f"{folder}: no catalogue that Attune can read")
    files, mapping = found
    kept = _Kept()
    import_data(files.items, files.events, None, mapping, kept, lambda *_: None, now=time.time())
    items = {item.item_id: item for item in kept.items if item.title.strip()}
    histories = _histories(kept.events, items) if kept.events else _shelves(list(items.values()), readers, rng)
    chosen = rng.permutation(len(histories))[:readers]
    bearers = Counter(facet_hash(facet.kind, facet.name) for item in items.values() for facet, _ in item_facets(item))
    made = [_reader(histories[place], bearers, len(items)) for place in chosen]
    return Corpus(folder.name, list(items.values()), made)


def task_of(item: Item, reader: Reader, content_type: ContentType, language: Language) -> GenerationTask:
    """The task that a server would make of them."""
    return GenerationTask(item=facts_for(item), interests=reader.told, content_type=content_type, language=language)


@dataclass(slots=True)
class _Kept:
    """An `ImportWriter` that keeps what it is given."""

    items: list[Item] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def append(self, records: Sequence[Record]) -> AppendResult:
        self.events.extend(record for record in records if isinstance(record, Event))
        return AppendResult(len(records), 0, 0)

    def put_items(self, items: Sequence[Item], embeddings: npt.NDArray[np.float32] | None, encoder: str) -> PutResult:
        self.items.extend(items)
        return PutResult(len(items), 0)


def _histories(events: Sequence[Event], items: dict[str, Item]) -> list[list[Item]]:
    """The latest items of each user who has enough of them, by user id."""
    latest: dict[str, dict[str, float]] = defaultdict(dict)
    for event in events:
        if event.item_id in items:
            times = latest[event.user_id]
            times[event.item_id] = max(event.timestamp, times.get(event.item_id, -np.inf))
    ordered = [sorted(latest[user].items(), key=lambda one: (-one[1], one[0])) for user in sorted(latest)]
    return [[items[item_id] for item_id, _ in acts[:HISTORY]] for acts in ordered if len(acts) >= LEAST_HISTORY]


def _shelves(items: Sequence[Item], readers: int, rng: np.random.Generator) -> list[list[Item]]:
    """For each made reader some items of one tag, which is drawn evenly from those with enough items."""
    shelves: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        for tag in item.tags:
            shelves[tag].append(item)
    names = sorted(name for name, shelf in shelves.items() if len(shelf) >= 2 * SHELF_ITEMS)
    drawn = [shelves[names[int(rng.integers(len(names)))]] for _ in range(readers)]
    return [[shelf[place] for place in rng.permutation(len(shelf))[:SHELF_ITEMS]] for shelf in drawn]


def _reader(history: Sequence[Item], bearers: Mapping[int, int], items: int) -> Reader:
    """Facets of all items summed up over the greatest sum, as the interest lookup does, each act counting the same."""
    sums: Counter[tuple[str, str]] = Counter()
    for item in history:
        for facet, weight in item_facets(item):
            sums[facet.kind, facet.name] += weight  # type: ignore[assignment]
    heaviest = sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:READABLE_INTERESTS]
    greatest = heaviest[0][1] if heaviest else 1.0
    interests = [(kind, name, weight / greatest, False) for (kind, name), weight in heaviest]
    plain = tuple((name, weight) for _, name, weight, _ in interests)
    return Reader(plain, told(interests, bearers, items), tuple(history))

"""Catalogue: every item as columns in memory, one writer, readers that never wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from interest.batch import Doubles, Floats, Longs, ragged_offsets
from interest.events import Facet
from interest.features import facet_hash, item_facets
from interest.items import DOMAINS, LANGUAGES, Item
from interest.store.protocol import ItemChange

Codes = npt.NDArray[np.int16]
Hashes = npt.NDArray[np.uint64]
Scalar = TypeVar("Scalar", bound=np.generic)
FacetRow = dict[int, float]  # facet hash -> weight of one item


@dataclass(frozen=True, slots=True)
class CatalogueView:
    """The items as of `seq`, one row each; a row never moves and is never given to another item.

    Arrays have n rows. The lists and dicts are shared with later views and may hold more than n entries.
    """

    seq: int
    version: int  # counts the calls of `apply`: two views of one catalogue with one version are the same
    keys: Longs  # [n]
    ids: list[str]
    items: list[Item]
    price: Doubles  # [n] NaN when unknown; float32 would not know 1234.56 again
    created_at: Doubles  # [n] unix seconds, NaN when unknown
    available: npt.NDArray[np.bool_]  # [n] False once deleted
    domain: Codes  # [n] index into `domains`
    language: Codes  # [n] index into `languages`
    facet_offsets: Longs  # [n + 1] cuts the facet arrays into one slice per row
    facet_hash: Hashes  # sorted within a row
    facet_weight: Floats
    content: Floats  # [n, E] unit rows in the encoder's space, zeros where not encoded
    row_of_key: Longs  # row by item key, -1 where unknown
    row_by_id: Mapping[str, int]
    facets: Mapping[int, Facet]
    domains: Sequence[str]
    languages: Sequence[str]

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, keys: Longs) -> Longs:
        """Row of each item key, int64 of the same shape; -1 where this view has no such item."""
        wanted = np.asarray(keys, dtype=np.int64)
        known = (wanted >= 0) & (wanted < len(self.row_of_key))
        rows = np.full(wanted.shape, -1, dtype=np.int64)
        rows[known] = self.row_of_key[wanted[known]]
        rows[rows >= len(self)] = -1
        return rows

    def row_of_id(self, item_id: str) -> int | None:
        """Row of an item by its public id, None when this view has no such item."""
        row = self.row_by_id.get(item_id)
        return row if row is not None and row < len(self) else None

    def facet_name(self, hashed: int) -> Facet | None:
        """The facet behind a hash of `facet_hash`, None when no item ever carried it."""
        return self.facets.get(int(hashed))

    def main_domain(self) -> str:
        """The domain that most available items are of; "" for an empty catalogue."""
        return self.domains[int(np.bincount(self.domain[self.available], minlength=1).argmax())]

    def domain_code(self, name: str) -> int:
        """Code of a domain in `domain`, -1 when no item ever had it."""
        return _code(self.domains, name)

    def language_code(self, name: str) -> int:
        """Code of a language in `language`, -1 when no item ever had it."""
        return _code(self.languages, name)


class Catalogue:
    """Follows the store's item changes. `apply` belongs to one thread; `view` may be called from any."""

    def __init__(self, dims: int = 0, encoder: str = "") -> None:
        """`dims`: width E of the content vectors; those of another width (or encoder, if one is named) are left out."""
        self._dims = dims
        self._encoder = encoder
        self._ids: list[str] = []
        self._items: list[Item] = []
        self._row_by_id: dict[str, int] = {}
        self._facets: dict[int, Facet] = {}
        self._domains = ["", *DOMAINS]
        self._languages = ["", *LANGUAGES]
        self._content = np.zeros((0, dims), dtype=np.float32)  # grows by doubling; views are its first n rows
        self._view = self._empty()

    def view(self) -> CatalogueView:
        """The newest state: one consistent snapshot that later changes do not touch.

        One exception: re-encoding an item rewrites its row of `content` in place, because those are too large to copy.
        """
        return self._view

    def apply(self, changes: Sequence[ItemChange]) -> None:
        """Take over these changes; of several changes of one item the one with the highest seq wins."""
        if not changes:
            return
        newest = {change.item_key: change for change in sorted(changes, key=lambda change: change.seq)}
        old = self._view
        known = old.rows(np.fromiter(newest, dtype=np.int64, count=len(newest)))
        fresh = [change for change, row in zip(newest.values(), known, strict=True) if row < 0]
        rows = known.copy()
        rows[known < 0] = np.arange(len(old), len(old) + len(fresh))
        for change in fresh:
            self._row_by_id[change.item_id] = len(self._ids)
            self._ids.append(change.item_id)
            self._items.append(_blank(change.item_id))
        self._view = self._next_view(old, list(newest.values()), rows, len(fresh))

    def _next_view(self, old: CatalogueView, changes: list[ItemChange], rows: Longs, fresh: int) -> CatalogueView:
        count = len(old) + fresh
        items = [change.item or _blank(change.item_id) for change in changes]
        for row, item in zip(rows, items, strict=True):
            self._items[row] = item
        self._write_content(changes, rows, count)
        offsets, hashes, weights = self._facet_columns(old, items, rows, count)
        return CatalogueView(
            seq=max(old.seq, *(change.seq for change in changes)),
            version=old.version + 1,
            keys=_set(old.keys, count, rows, [change.item_key for change in changes]),
            ids=self._ids,
            items=self._items,
            price=_set(old.price, count, rows, [np.nan if item.price is None else item.price for item in items]),
            created_at=_set(
                old.created_at, count, rows, [np.nan if item.created_at is None else item.created_at for item in items]
            ),
            available=_set(old.available, count, rows, [item.available for item in items]),
            domain=_set(old.domain, count, rows, [_intern(self._domains, item.domain) for item in items]),
            language=_set(old.language, count, rows, [_intern(self._languages, item.language) for item in items]),
            facet_offsets=offsets,
            facet_hash=hashes,
            facet_weight=weights,
            content=self._content[:count],
            row_of_key=_with_rows(old.row_of_key, [change.item_key for change in changes], rows),
            row_by_id=self._row_by_id,
            facets=self._facets,
            domains=self._domains,
            languages=self._languages,
        )

    def _write_content(self, changes: list[ItemChange], rows: Longs, count: int) -> None:
        if count > len(self._content):
            grown = np.zeros((max(count, 2 * len(self._content)), self._dims), dtype=np.float32)
            grown[: len(self._content)] = self._content
            self._content = grown
        for change, row in zip(changes, rows, strict=True):
            vector = content_vector(change, self._dims, self._encoder)
            self._content[row] = 0.0 if vector is None else vector

    def _facet_columns(
        self, old: CatalogueView, items: list[Item], rows: Longs, count: int
    ) -> tuple[Longs, Hashes, Floats]:
        lengths = np.zeros(count, dtype=np.int64)
        lengths[: len(old)] = np.diff(old.facet_offsets)
        owner = np.repeat(np.arange(count), lengths)
        replaced = np.zeros(count, dtype=bool)
        replaced[rows] = True
        keep = ~replaced[owner]
        fresh = [sorted(self._facet_row(item).items()) for item in items]
        lengths[rows] = [len(row) for row in fresh]
        pairs = [pair for row in fresh for pair in row]
        owners = np.concatenate([owner[keep], np.repeat(rows, [len(row) for row in fresh])])
        hashes = np.concatenate([old.facet_hash[keep], np.array([pair[0] for pair in pairs], dtype=np.uint64)])
        weights = np.concatenate([old.facet_weight[keep], np.array([pair[1] for pair in pairs], dtype=np.float32)])
        order = np.argsort(owners, kind="stable")  # each row's facets are already sorted by hash
        return ragged_offsets(lengths), hashes[order], weights[order]

    def _facet_row(self, item: Item) -> FacetRow:
        row: FacetRow = {}
        for facet, weight in item_facets(item):
            hashed = facet_hash(facet.kind, facet.name)
            self._facets.setdefault(hashed, facet)
            row[hashed] = max(row.get(hashed, 0.0), weight)
        return row

    def _empty(self) -> CatalogueView:
        return CatalogueView(
            seq=0,
            version=0,
            keys=np.zeros(0, dtype=np.int64),
            ids=self._ids,
            items=self._items,
            price=np.zeros(0, dtype=np.float64),
            created_at=np.zeros(0, dtype=np.float64),
            available=np.zeros(0, dtype=bool),
            domain=np.zeros(0, dtype=np.int16),
            language=np.zeros(0, dtype=np.int16),
            facet_offsets=np.zeros(1, dtype=np.int64),
            facet_hash=np.zeros(0, dtype=np.uint64),
            facet_weight=np.zeros(0, dtype=np.float32),
            content=self._content,
            row_of_key=np.zeros(0, dtype=np.int64),
            row_by_id=self._row_by_id,
            facets=self._facets,
            domains=self._domains,
            languages=self._languages,
        )


def content_vector(change: ItemChange, dims: int, encoder: str) -> Floats | None:
    """The embedding of a living item when it is of this width and encoder ("" = any), otherwise None."""
    vector = change.embedding
    if change.item is None or vector is None or len(vector) != dims or (encoder and change.encoder != encoder):
        return None
    return vector


def _blank(item_id: str) -> Item:
    return Item(item_id=item_id, title="", language="", available=False)


def _code(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else -1


def _intern(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)


def _set(old: npt.NDArray[Scalar], count: int, rows: Longs, values: Sequence[object]) -> npt.NDArray[Scalar]:
    column = np.empty(count, dtype=old.dtype)
    column[: len(old)] = old
    column[rows] = values
    return column


def _with_rows(old: Longs, keys: list[int], rows: Longs) -> Longs:
    size = max(len(old), max(keys) + 1)
    table = np.full(size, -1, dtype=np.int64)
    table[: len(old)] = old
    table[keys] = rows
    return table

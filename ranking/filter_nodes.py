"""What a filter expression means: each node makes a mask over the rows of a catalogue."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interest.catalogue import CatalogueView, Codes
from interest.items import Item

Mask = npt.NDArray[np.bool_]

NUMBERS = ("price", "created_at")
TEXTS: dict[str, Callable[[Item], str]] = {
    "item_id": lambda item: item.item_id,
    "title": lambda item: item.title,
    "domain": lambda item: item.domain,
    "language": lambda item: item.language,
}
CODED: dict[str, Callable[[CatalogueView], tuple[Codes, Sequence[str]]]] = {
    "domain": lambda view: (view.domain, view.domains),
    "language": lambda view: (view.language, view.languages),
}  # texts that the catalogue holds as a column of codes into a few names
LISTS: dict[str, Callable[[Item], Sequence[str]]] = {
    "category": lambda item: item.categories,
    "categories": lambda item: item.categories,
    "tags": lambda item: item.tags,
}
ATTRIBUTE = "attributes."
COMPARED: dict[str, Callable[[npt.NDArray[np.float64], float], Mask]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


class Node(ABC):
    @abstractmethod
    def mask(self, view: CatalogueView) -> Mask:
        """True for the rows that match, bool [n_rows]."""


@dataclass(frozen=True, slots=True)
class Join(Node):
    every: bool  # and, otherwise or
    parts: tuple[Node, ...]

    def mask(self, view: CatalogueView) -> Mask:
        masks = [part.mask(view) for part in self.parts]
        joined: Mask = np.logical_and.reduce(masks) if self.every else np.logical_or.reduce(masks)
        return joined


@dataclass(frozen=True, slots=True)
class Not(Node):
    part: Node

    def mask(self, view: CatalogueView) -> Mask:
        return ~self.part.mask(view)


@dataclass(frozen=True, slots=True)
class Numbers(Node):
    """A number field against one value, or with == against any of several."""

    field: str
    sign: str
    values: tuple[float, ...]

    def mask(self, view: CatalogueView) -> Mask:
        column = _numbers(view, self.field)
        matches = [COMPARED[self.sign](column, value) for value in self.values]
        matched: Mask = np.logical_or.reduce(matches) & ~np.isnan(column)
        return matched


@dataclass(frozen=True, slots=True)
class Texts(Node):
    """Rows whose text, or one of whose texts, is one of `values`, or with `inside` holds one of them."""

    field: str
    negated: bool
    values: frozenset[str]
    inside: bool = False

    def mask(self, view: CatalogueView) -> Mask:
        if self.field in CODED:
            codes, names = CODED[self.field](view)
            return np.array([self._matches((name,)) for name in names], dtype=bool)[codes]
        rows = [self._matches(_texts(item, self.field)) for item in view.items[: len(view)]]
        return np.array(rows, dtype=bool)

    def _matches(self, texts: Sequence[str] | None) -> bool:
        if texts is None:
            return False
        folded = texts if self.field == "item_id" else [text.casefold() for text in texts]
        if self.inside:
            found = any(value in text for value in self.values for text in folded)
        else:
            found = not self.values.isdisjoint(folded)
        return found != self.negated


def _numbers(view: CatalogueView, field: str) -> npt.NDArray[np.float64]:
    if field == "price":
        return view.price
    if field == "created_at":
        return view.created_at
    name = field.removeprefix(ATTRIBUTE)
    return np.array([_number(item.attributes.get(name)) for item in view.items[: len(view)]], dtype=np.float64)


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan


def _texts(item: Item, field: str) -> Sequence[str] | None:
    if field in TEXTS:
        return (TEXTS[field](item),)
    if field in LISTS:
        return LISTS[field](item)
    value = item.attributes.get(field.removeprefix(ATTRIBUTE))
    return None if value is None else (value,)

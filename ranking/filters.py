"""Filter expressions such as `category == "x" and price < 20 and "y" in tags`, compiled to masks over a catalogue."""

from functools import lru_cache

from interest.catalogue import CatalogueView
from ranking.filter_nodes import Mask, Node
from ranking.filter_parser import parse
from ranking.recent import Recent

CACHED_MASKS = 128


class Filter:
    """A compiled expression. An unknown value (no price, no such attribute) satisfies no comparison, not even !=."""

    def __init__(self, expression: str, root: Node) -> None:
        self.expression = expression
        self._root = root

    def mask(self, view: CatalogueView) -> Mask:
        """True for the rows that match, bool [n_rows]."""
        return self._root.mask(view)


class FilterMasks:
    """The masks asked for last, by expression and version of the catalogue."""

    def __init__(self) -> None:
        self._held: Recent[tuple[str, int], Mask] = Recent(CACHED_MASKS)

    def of(self, expression: str, view: CatalogueView) -> Mask:
        """Mask of the rows that match, bool [n_rows]; read-only. Raises `InvalidRequest` for a bad expression."""
        key = (expression, view.version)
        return self._held.get_or_make(key, lambda: compile_filter(expression).mask(view))


@lru_cache(maxsize=1_024)
def compile_filter(expression: str) -> Filter:
    """Parse `expression`: fields, "text", numbers, [lists], == != < <= > >= in, not, and, or, parentheses.

    Fields: item_id, title, domain, language, category (or categories), tags, price, created_at (unix seconds or an ISO
    date in quotes) and attributes.<name>. Text is compared without regard to case, item_id exactly; `category == "x"`
    means that one of the categories is x, `"x" in title` that the title holds x.
    Raises `InvalidRequest` that names the fault and its place.
    """
    return Filter(expression, parse(expression))

"""Item: what the fold, the prompt and the index share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DOMAINS = ("e-commerce", "social", "news", "education", "entertainment")
LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that can be recommended.

    Prices are in the catalogue's own currency, times are unix seconds (UTC).
    """

    item_id: str
    title: str
    domain: str = ""
    language: str = "en"
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    text: str = ""
    price: float | None = None
    created_at: float | None = None
    available: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> str:
        """The text that encoders see: title, categories, tags and body, most telling first."""
        parts = (self.title, " ".join(self.categories), " ".join(self.tags), self.text)
        return "\n".join(part for part in parts if part)

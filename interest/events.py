"""Events, edits and erasures: the records of the one log that profiles are folded from."""

from dataclasses import dataclass
from enum import StrEnum


class EventType(StrEnum):
    """What a user did. The order is the wire and storage code (`EVENT_CODES`): append, never reorder."""

    VIEW = "view"
    IMPRESSION = "impression"
    CLICK = "click"
    LIKE = "like"
    DISLIKE = "dislike"
    FAVORITE = "favorite"
    SHARE = "share"
    CART = "cart"
    PURCHASE = "purchase"
    RATING = "rating"
    COMMENT = "comment"
    PORTION = "portion"
    SKIP = "skip"
    HIDE = "hide"


EVENT_TYPES: tuple[EventType, ...] = tuple(EventType)
EVENT_CODES: dict[EventType, int] = {event_type: code for code, event_type in enumerate(EVENT_TYPES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One act of one user on one item. `timestamp` is unix seconds (UTC).

    `value` is the quantity of a purchase, the stars of a rating, the share seen of a portion (0..1).
    """

    event_id: str
    type: EventType
    user_id: str
    item_id: str
    timestamp: float
    value: float | None = None
    text: str = ""
    session_id: str = ""
    recommendation_id: str = ""
    position: int | None = None
    stamped: bool = False  # the server filled in the time, so a retry of the same event carries another one


FACET_KINDS = ("category", "tag", "keyword")


@dataclass(frozen=True, slots=True)
class Facet:
    """A readable interest: kind is one of `FACET_KINDS`, name is shown as it stands."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterestEdit:
    """The user's own word on their interests; beats what behaviour says about the same facet.

    `replace` forgets every earlier declaration (PUT); without it the others stay (PATCH).
    A weight of None takes the declaration of that facet back. Weights are 0 to 1; 0 mutes a facet.
    """

    record_id: str
    user_id: str
    timestamp: float
    facets: tuple[tuple[Facet, float | None], ...]
    replace: bool = False


Record = Event | InterestEdit

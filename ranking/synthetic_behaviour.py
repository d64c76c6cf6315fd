"""What people do with an item once they have opened it, by domain and by whether it interests them."""

from dataclasses import dataclass

from interest.events import EventType
from ranking.synthetic_items import DAY_S


@dataclass(frozen=True, slots=True)
class Step:
    """What may follow the opening of an item; `interested` and `bored` are its probabilities."""

    type: EventType
    interested: float
    bored: float
    needs: EventType | None = None
    ends: bool = False  # nothing else follows
    delay_s: float = 40.0  # mean


OPENING = {"news": EventType.CLICK}  # other domains open with a view
STEPS: dict[str, tuple[Step, ...]] = {
    "e-commerce": (
        Step(EventType.HIDE, 0.005, 0.08, ends=True),
        Step(EventType.LIKE, 0.08, 0.01),
        Step(EventType.CART, 0.34, 0.04),
        Step(EventType.PURCHASE, 0.65, 0.3, needs=EventType.CART, delay_s=300.0),
        Step(EventType.RATING, 0.25, 0.25, needs=EventType.PURCHASE, delay_s=5 * DAY_S),
        Step(EventType.COMMENT, 0.35, 0.35, needs=EventType.RATING),
        Step(EventType.SHARE, 0.02, 0.002),
    ),
    "social": (
        Step(EventType.SKIP, 0.08, 0.5, ends=True),
        Step(EventType.HIDE, 0.004, 0.06, ends=True),
        Step(EventType.LIKE, 0.38, 0.05),
        Step(EventType.COMMENT, 0.09, 0.02, delay_s=90.0),
        Step(EventType.SHARE, 0.07, 0.005),
    ),
    "news": (
        Step(EventType.SKIP, 0.06, 0.4, ends=True),
        Step(EventType.PORTION, 0.75, 0.4, delay_s=120.0),
        Step(EventType.LIKE, 0.07, 0.01),
        Step(EventType.SHARE, 0.06, 0.005),
        Step(EventType.COMMENT, 0.04, 0.02, delay_s=90.0),
    ),
    "education": (
        Step(EventType.SKIP, 0.05, 0.3, ends=True),
        Step(EventType.FAVORITE, 0.12, 0.01),
        Step(EventType.PURCHASE, 0.16, 0.01, delay_s=300.0),
        Step(EventType.PORTION, 0.8, 0.5, needs=EventType.PURCHASE, delay_s=3 * DAY_S),
        Step(EventType.RATING, 0.45, 0.4, needs=EventType.PORTION, delay_s=2 * DAY_S),
        Step(EventType.COMMENT, 0.3, 0.3, needs=EventType.RATING),
    ),
    "entertainment": (
        Step(EventType.HIDE, 0.005, 0.06, ends=True),
        Step(EventType.SKIP, 0.07, 0.35, ends=True),
        Step(EventType.PORTION, 0.6, 0.35, delay_s=3_000.0),
        Step(EventType.RATING, 0.4, 0.2, needs=EventType.PORTION),
        Step(EventType.DISLIKE, 0.01, 0.1),
        Step(EventType.LIKE, 0.12, 0.01),
        Step(EventType.COMMENT, 0.06, 0.02, delay_s=90.0),
        Step(EventType.SHARE, 0.03, 0.002),
    ),
}

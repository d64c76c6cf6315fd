"""What the users of the synthetic world do: sessions that follow their interests through a year."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from interest.events import Event, EventType
from ranking.synthetic_behaviour import OPENING, STEPS
from ranking.synthetic_catalogue import CatalogueArrays
from ranking.synthetic_items import DAY_S, Entry, pick
from ranking.synthetic_users import SyntheticUser
from ranking.synthetic_words import CommentWords
from ranking.synthetic_words_en import COMMENTS_EN
from ranking.synthetic_words_zh import COMMENTS_ZH

NOISE_SHARE = 0.12  # of sessions that follow no interest of the user
_RESTOCK_SHARE = 0.35  # of e-commerce sessions of earlier buyers that begin with something bought before
_OTHER_LANGUAGE = 0.04  # how much a user looks at items in the language they do not prefer
_FAVOURITE_TAG = 3.0  # how much more a user is drawn to an item with a favourite tag
_COMMENTS: dict[str, CommentWords] = {"en": COMMENTS_EN, "zh": COMMENTS_ZH}


def make_events(
    rng: np.random.Generator, users: list[SyntheticUser], entries: list[Entry], count: int, start: float, end: float
) -> list[Event]:
    """Exactly `count` events between `start` and `end` by ascending time; ids number them in that order."""
    catalogue = CatalogueArrays.of(rng, entries, start, end)
    activity = np.array([user.activity * (end - user.joined_at) for user in users])
    budgets = rng.multinomial(count, activity / activity.sum())
    drafts: list[_Draft] = []
    for user, budget in zip(users, budgets, strict=True):
        drafts += _UserYear(rng, user, catalogue, (start, end)).live(int(budget))
    drafts.sort(key=lambda draft: (draft.timestamp, draft.user_id, draft.order))
    return [draft.event(f"event-{number + 1:07d}") for number, draft in enumerate(drafts)]


@dataclass(frozen=True, slots=True)
class _Draft:
    """An event that does not know its place in the log yet."""

    timestamp: float
    user_id: str
    order: int
    item_id: str
    type: EventType
    value: float | None
    text: str
    session_id: str

    def event(self, event_id: str) -> Event:
        return Event(
            event_id=event_id,
            type=self.type,
            user_id=self.user_id,
            item_id=self.item_id,
            timestamp=self.timestamp,
            value=self.value,
            text=self.text,
            session_id=self.session_id,
        )


@dataclass(slots=True)
class _UserYear:
    """One user's sessions; holds the drafts so far and what was bought."""

    rng: np.random.Generator
    user: SyntheticUser
    catalogue: CatalogueArrays
    span: tuple[float, float]
    drafts: list[_Draft] = field(default_factory=list)
    bought: list[tuple[float, int]] = field(default_factory=list)  # (unix seconds, row)
    taste: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # [items]

    def live(self, budget: int) -> list[_Draft]:
        """Exactly `budget` drafts."""
        self.taste = self._taste()
        joined, end = self.user.joined_at, self.span[1]
        session = 0
        while len(self.drafts) < budget:
            day = np.floor(self.rng.uniform(joined, end) / DAY_S) * DAY_S
            at = float(day + (self.rng.normal(19.0, 3.0) % 24.0) * 3_600.0)
            at = min(max(at, joined), end - 3_600.0 * (1.0 + self.rng.random()))
            session += 1
            self._session(at, f"{self.user.user_id}-s{session}")
        return self.drafts[:budget]

    def _taste(self) -> npt.NDArray[np.float64]:
        user, catalogue = self.user, self.catalogue
        language = np.ones(len(catalogue.entries))
        if user.language != "both":
            language = np.where(catalogue.english == (user.language == "en"), 1.0, _OTHER_LANGUAGE)
        price = np.exp(-2.0 * np.abs(catalogue.price_rank - user.price_level))
        favourite = np.array(
            [_FAVOURITE_TAG if user.favourite_tags & set(entry.item.tags) else 1.0 for entry in catalogue.entries]
        )
        taste: npt.NDArray[np.float64] = language * price * favourite
        return taste

    def _session(self, at: float, session_id: str) -> None:
        interested = self.rng.random() >= NOISE_SHARE
        topic = self._topic(at) if interested else pick(self.rng, self.catalogue.topics)
        rows = self.catalogue.of_topic[topic]
        pull = self.catalogue.pull(rows, at) * (self.taste[rows] if interested else 1.0)
        total = pull.sum()
        if total <= 0.0:
            return
        wanted = int(self.rng.geometric(0.3))
        chosen = self.rng.choice(rows, size=wanted, p=pull / total).tolist()
        if interested and topic.startswith("e-commerce/") and self.rng.random() < _RESTOCK_SHARE:
            self._restock(at, session_id)
        for row in dict.fromkeys(chosen):
            at += float(self.rng.exponential(60.0)) + 1.0
            self._visit(row, at, session_id, interested)

    def _restock(self, at: float, session_id: str) -> None:
        earlier = tuple(row for bought_at, row in self.bought if bought_at < at)
        if earlier:
            self._draft(pick(self.rng, earlier), EventType.PURCHASE, at, session_id)

    def _topic(self, at: float) -> str:
        progress = (at - self.span[0]) / (self.span[1] - self.span[0])
        weights = np.array(self.user.start) * (1.0 - progress) + np.array(self.user.end) * progress
        weights = np.maximum(weights, 0.0)
        return self.user.topics[int(self.rng.choice(len(weights), p=weights / weights.sum()))]

    def _visit(self, row: int, at: float, session_id: str, interested: bool) -> None:
        domain = self.catalogue.entries[row].item.domain
        opening = OPENING.get(domain, EventType.VIEW)
        self._draft(row, opening, at, session_id, interested)
        happened = {opening}
        for step in STEPS[domain]:
            if step.needs is not None and step.needs not in happened:
                continue
            if self.rng.random() >= (step.interested if interested else step.bored):
                continue
            at += float(self.rng.exponential(step.delay_s)) + 1.0
            if at >= self.span[1]:
                return
            self._draft(row, step.type, at, session_id, interested)
            happened.add(step.type)
            if step.ends:
                return

    def _draft(self, row: int, kind: EventType, at: float, session_id: str, interested: bool = True) -> None:
        item = self.catalogue.entries[row].item
        if kind is EventType.PURCHASE:
            self.bought.append((at, row))
        value = self._value(kind, row, interested)
        text = self._comment(row, interested) if kind is EventType.COMMENT else ""
        order = len(self.drafts)
        self.drafts.append(
            _Draft(float(int(at)), self.user.user_id, order, item.item_id, kind, value, text, session_id)
        )

    def _value(self, kind: EventType, row: int, interested: bool) -> float | None:
        entry = self.catalogue.entries[row]
        if kind is EventType.PURCHASE:
            return float(self.rng.integers(1, 5)) if entry.topic == "e-commerce/pantry" else 1.0
        if kind is EventType.RATING:
            favourite = bool(self.user.favourite_tags & set(entry.item.tags))
            mean = (4.4 if favourite else 3.7) if interested else 2.4
            return float(np.clip(np.rint(self.rng.normal(mean, 0.8)), 1.0, 5.0))
        if kind is EventType.PORTION:
            return round(float(self.rng.beta(4.0, 1.5) if interested else self.rng.beta(1.2, 4.0)), 3)
        return None

    def _comment(self, row: int, interested: bool) -> str:
        entry = self.catalogue.entries[row]
        words = _COMMENTS[entry.item.language]
        happy = interested and self.rng.random() < 0.85
        pattern = pick(self.rng, words.praise if happy else words.complaint)
        return pattern.format(subject=entry.subject, category=entry.item.categories[0])

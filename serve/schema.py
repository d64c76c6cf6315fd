"""The public surface in types: unknown fields are an error that names them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from interest.events import EventType
from ranking.boosting import MAX_FACTOR, MIN_FACTOR

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Language = Literal["en", "zh"]
ContentType = Literal["headline", "reason", "summary"]
Tier = Literal["full", "no_generation", "cached", "popular", "cold_start"]
Include = Literal["values", "scores", "explanation", "timings"]
UNIX_SECONDS_MAX = 4_102_444_800.0  # 2100-01-01


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Generate(Body):
    """What to write about each item shown."""

    content_type: ContentType = "reason"
    language: Language | None = None  # None: the item's own
    max_tokens: int | None = Field(None, ge=1, le=1024)
    candidates: int = Field(0, ge=0, le=8)  # texts written for each item, of which the best is shown; 0: one, unscored


class Booster(Body):
    """Multiplies exp(score) of the items that match: above 1 lifts them, below 1 lowers them, `filter` leaves out."""

    filter: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    factor: float = Field(ge=MIN_FACTOR, le=MAX_FACTOR)


class HistoryEvent(Body):
    """What the user did, told with the request: it counts for this reply and is stored nowhere."""

    item_id: Id
    type: EventType
    timestamp: float | None = Field(None, ge=0, le=UNIX_SECONDS_MAX)  # None: now
    value: float | None = None


class RankingRequest(Body):
    """What recommendations and rankings of the caller's own candidates have in common.

    Lists have factories, because a default that is a list is copied, deeply, for every request.
    """

    user_id: Id | None = None  # may be left out only with a history
    # With a history nothing of the request is stored: no impressions, no next page.
    history: list[HistoryEvent] = Field(default_factory=list)
    booster: list[Booster] = Field(default_factory=list)
    include: list[Include] = Field(default_factory=list)
    timeout_ms: int | None = Field(None, ge=1)
    as_of: float | None = Field(None, ge=0, le=UNIX_SECONDS_MAX)


class RankRequest(RankingRequest):
    """Candidates of the caller's choice, all of them ranked for our user, whatever the user saw or hid."""

    item_ids: list[Id] = Field(min_length=1)
    count: int | None = Field(None, ge=1)  # None: all


class RecommendationRequest(RankingRequest):
    stream: bool = False  # server-sent events instead of one reply
    count: int = Field(10, ge=1)
    domain: Annotated[str, StringConstraints(max_length=64)] = ""
    language: Language | None = None
    filter: Annotated[str, StringConstraints(max_length=2000)] = ""
    exclude_ids: list[Id] = Field(default_factory=list)
    exclude_seen: bool | None = None  # None: false in e-commerce, true elsewhere
    diversity: float = Field(0.0, ge=0, le=1)  # 0: by score alone; 1: as unlike each other as can be
    calibration: float = Field(0.0, ge=0, le=1)  # 1: the list's categories in the proportions of the user's own
    generate: Generate | None = None
    strict_user: bool = False
    session_id: Annotated[str, StringConstraints(max_length=256)] = ""


class BatchRequest(Body):
    requests: list[RecommendationRequest] = Field(min_length=1)


class GenerationRequest(Body):
    """Text about items of the caller's choice for one of our users."""

    user_id: Id
    item_ids: list[Id] = Field(min_length=1)
    stream: bool = False
    generate: Generate = Generate()
    timeout_ms: int | None = Field(None, ge=1)


class GeneratedContent(BaseModel):
    text: str
    source: Literal["model", "template"]
    content_type: ContentType
    language: Language
    score: float | None = None  # with `candidates`: how well it suits the reader, 0 to 1
    score_parts: dict[str, float] | None = None  # similarity, coverage, grounded


class RecommendedItem(BaseModel):
    item_id: str
    rank: int
    score: float
    score_parts: dict[str, float] | None = None
    propensity: float = 1.0
    generated: GeneratedContent | None = None
    explanation: list[str] | None = None
    values: dict[str, Any] | None = None


class Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Recommendation(BaseModel):
    id: str
    user_id: str | None = None
    data: list[RecommendedItem]
    tier: Tier
    degraded: list[str] = []
    model_versions: dict[str, str]
    usage: Usage = Usage()
    timings_ms: dict[str, float] | None = None
    next: str | None = None  # path of the next page, good for half an hour; None (left out) at the end


class RankedCandidates(Recommendation):
    missing: list[str] = []  # ids among the caller's that no item bears, or one that was not there (yet, any more)


class RecommendationBatch(BaseModel):
    data: list[Recommendation]


class GeneratedItem(GeneratedContent):
    item_id: str


class Generation(BaseModel):
    id: str
    user_id: str
    data: list[GeneratedItem]
    missing: list[str] = []  # ids of items without a text: the generator was too slow for them
    model_versions: dict[str, str]
    usage: Usage


class EventBody(Body):
    """One act of one user. Without `id`, the request's `Idempotency-Key` (and the position in the batch) stands in."""

    id: Id | None = None
    type: EventType
    user_id: Id
    item_id: Id
    timestamp: float | None = Field(None, ge=0, le=UNIX_SECONDS_MAX)
    value: float | None = None
    text: Annotated[str, StringConstraints(max_length=10_000)] = ""
    session_id: Annotated[str, StringConstraints(max_length=256)] = ""
    recommendation_id: Annotated[str, StringConstraints(max_length=256)] = ""
    position: int | None = Field(None, ge=0)


class EventsBody(Body):
    events: list[EventBody] = Field(min_length=1)


class Accepted(BaseModel):
    """All of it is durable."""

    accepted: int
    duplicates: int
    ids: list[str]


class ItemBody(Body):
    item_id: Id
    title: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    domain: Annotated[str, StringConstraints(max_length=64)] = ""
    language: Language | None = None  # None: told from the title
    categories: list[Name] = Field([], max_length=64)
    tags: list[Name] = Field([], max_length=128)
    text: Annotated[str, StringConstraints(max_length=50_000)] = ""
    price: float | None = Field(None, ge=0)
    created_at: float | None = Field(None, ge=0, le=UNIX_SECONDS_MAX)
    available: bool = True
    attributes: dict[Name, Annotated[str, StringConstraints(max_length=1000)]] = Field({}, max_length=64)


class ItemView(BaseModel):
    """An item as it is stored: an import may hold more than the API takes."""

    model_config = ConfigDict(from_attributes=True)

    item_id: str
    title: str
    domain: str
    language: str
    categories: list[str]
    tags: list[str]
    text: str
    price: float | None
    created_at: float | None
    available: bool
    attributes: dict[str, str]


class ItemPut(ItemBody):
    item_id: Id | None = None  # type: ignore[assignment]  # the path names it


class ItemsBody(Body):
    items: list[ItemBody] = Field(min_length=1)


class ItemsAccepted(BaseModel):
    accepted: int
    seq: int


class InterestBody(Body):
    kind: Literal["category", "tag", "keyword"]
    name: Name
    weight: float | None = Field(1.0, ge=0, le=1)  # None (PATCH only) takes the declaration back


class InterestsBody(Body):
    interests: list[InterestBody] = Field(max_length=1000)


class InterestView(BaseModel):
    kind: str
    name: str
    weight: float
    declared: bool


class InterestsView(BaseModel):
    """What we believe a user cares about, heaviest first, and how many events that rests on."""

    user_id: str
    interests: list[InterestView]
    events: int
    updated_at: float
    now: float  # the instant, unix seconds, that decay was reckoned for
    recent: list[dict[str, Any]]
    vector: list[float] | None = None


class UserView(BaseModel):
    user_id: str
    events: int
    items: int
    updated_at: float


class Erased(BaseModel):
    receipt_id: str
    user_id: str
    events: int
    edits: int
    impressions: int


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: str


class ErrorEnvelope(BaseModel):
    error: ErrorBody

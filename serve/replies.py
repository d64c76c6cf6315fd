"""From a ranking and its texts to what the reply says about each item."""

import math
import uuid
from collections.abc import Sequence

from interest.items import Item
from ranking.sources import SOURCES
from serve.generation.generator import GeneratedText
from serve.ranker import Ranking
from serve.schema import ContentType, GeneratedContent, Language, RecommendationRequest, RecommendedItem, Usage


def recommended(
    request: RecommendationRequest, ranking: Ranking, rank: int, item: Item, text: GeneratedContent | None
) -> RecommendedItem:
    """One item as it is shown, with what the request's `include` asks for; `rank` counts from 0."""
    parts = None
    if "scores" in request.include:
        parts = {name: float(v) for name, v in zip(SOURCES, ranking.parts[rank], strict=True) if not math.isnan(v)}
    return RecommendedItem(
        item_id=item.item_id,
        rank=rank + 1,
        score=float(ranking.scores[rank]),
        score_parts=parts,
        propensity=float(ranking.propensity[rank]),
        generated=text,
        explanation=_explanation(item, ranking) if "explanation" in request.include else None,
        values=_values(item) if "values" in request.include else None,
    )


def content(text: GeneratedText, content_type: ContentType, language: Language) -> GeneratedContent:
    """A text with what it is."""
    return GeneratedContent(text=text.text, source=text.source, content_type=content_type, language=language)


def usage(texts: Sequence[GeneratedText | None]) -> Usage:
    """The tokens of all texts together."""
    written = [text for text in texts if text is not None]
    return Usage(
        prompt_tokens=sum(text.prompt_tokens for text in written),
        completion_tokens=sum(text.completion_tokens for text in written),
    )


def new_id(prefix: str) -> str:
    """A new id such as `rec_...`."""
    return f"{prefix}_{uuid.uuid4().hex}"


def _explanation(item: Item, ranking: Ranking) -> list[str]:
    """The user's interests that the item answers, heaviest first."""
    own = {name.casefold() for name in (*item.categories, *item.tags)}
    title = item.title.casefold()
    return [
        name for _, name, weight, _ in ranking.interests if weight > 0 and (name.casefold() in own or name in title)
    ]


def _values(item: Item) -> dict[str, object]:
    return {
        "title": item.title,
        "domain": item.domain,
        "language": item.language,
        "categories": list(item.categories),
        "tags": list(item.tags),
        "price": item.price,
        "attributes": dict(item.attributes),
    }

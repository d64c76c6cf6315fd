"""From a ranking and its texts to what the reply says about each item."""

import math
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict

from interest.items import Item
from ranking.sources import SCORES
from serve.generation.choosing import TextScore
from serve.generation.generator import GeneratedText
from serve.ranker import Ranking
from serve.schema import ContentType, GeneratedContent, Include, Language, RecommendedItem, Usage


def recommended(
    include: Sequence[Include], ranking: Ranking, place: int, rank: int, item: Item, text: GeneratedContent | None
) -> RecommendedItem:
    """The item at `place` (from 0) of the ranking as it is shown at `rank` (from 1), with what `include` asks for."""
    parts = None
    if "scores" in include:
        parts = {name: float(v) for name, v in zip(SCORES, ranking.parts[place], strict=True) if not math.isnan(v)}
        if place < len(ranking.text):
            parts["text"] = float(ranking.text[place])
    return RecommendedItem(
        item_id=item.item_id,
        rank=rank,
        score=float(ranking.scores[place]),
        score_parts=parts,
        propensity=float(ranking.propensity[place]),
        generated=text,
        explanation=_explanation(item, ranking) if "explanation" in include else None,
        values=_values(item) if "values" in include else None,
    )


def content(
    text: GeneratedText, content_type: ContentType, language: Language, score: TextScore | None = None
) -> GeneratedContent:
    """A text with what it is, and how it did where several were written."""
    return GeneratedContent(
        text=text.text,
        source=text.source,
        content_type=content_type,
        language=language,
        score=None if score is None else score.total,
        score_parts=None if score is None else asdict(score),
    )


def usage(texts: Sequence[GeneratedText | None]) -> Usage:
    """The tokens of all texts together."""
    written = [text for text in texts if text is not None]
    return Usage(
        prompt_tokens=sum(text.prompt_tokens for text in written),
        completion_tokens=sum(text.completion_tokens for text in written),
    )


def new_id(prefix: str) -> str:
    """A new id such as `rec_...`: 48 bits of time in milliseconds, then 80 of chance.

    So new rows are neighbours in the store's index, and an id tells when it was made.
    """
    return f"{prefix}_{int(1000 * time.time()):012x}{secrets.token_hex(10)}"


def made_at(prefix: str, new: str) -> float | None:
    """When `new_id` made this id, unix seconds; None when it did not."""
    found = re.fullmatch(rf"{prefix}_([0-9a-f]{{12}})[0-9a-f]{{20}}", new)
    return None if found is None else int(found[1], 16) / 1000


def next_page(recommendation_id: str, count: int, after: int) -> str:
    """Path of the page that starts after so many places."""
    return f"/v1/recommendations/{recommendation_id}/next?count={count}&after={after}"


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

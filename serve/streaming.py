"""A recommendation as it comes into being: typed events, for whoever carries them to the caller.

What a caller does with them: show each `item` at once, append each `token` to its item's text, and put the text of
`item.done` in the place of whatever was shown: tokens are the model's own words, not checked yet, and a text that fails
the check gives way to a template. `ranking` is the order to keep, `done` the whole reply as it would have come
unstreamed.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from serve.pipeline import Chosen, Pipeline
from serve.schema import RecommendationRequest, RecommendedItem, Tier
from serve.writer import TextNews, Written

EventName = Literal["candidates", "item", "token", "item.done", "ranking", "usage", "done"]


@dataclass(frozen=True, slots=True)
class Event:
    """`data` is one of the types below, or of serve/schema.py: an item, a usage, a whole reply."""

    name: EventName
    data: BaseModel


class Candidates(BaseModel):
    """The ranking is made: `count` items can be shown, here and on next pages."""

    id: str
    user_id: str | None = None
    count: int
    tier: Tier
    degraded: list[str] = []


class Token(BaseModel):
    item_id: str
    delta: str


class FinalRanking(BaseModel):
    item_ids: list[str]


async def recommendation_events(pipeline: Pipeline, request: RecommendationRequest) -> AsyncGenerator[Event, None]:
    """`Pipeline.recommend` told step by step, counted and logged like it once every text is settled.

    Closing it before then stops the work, and nothing is logged. It raises what `recommend` raises, before any event.
    """
    requested_at = time.time()
    chosen = await pipeline.choose(request, pipeline.query(request))
    yield Event("candidates", _candidates(request, chosen))
    ranked = pipeline.answered(request, chosen, Written([None] * len(chosen.items))).reply.data
    for item in ranked:
        yield Event("item", item)
    written = Written([None] * len(ranked))
    writing = pipeline.writer.writing(request.generate, chosen.served.ranking.interests, chosen.items, chosen.deadline)
    async with aclosing(writing):
        async for news in writing:
            if isinstance(news, Written):
                written = news
            else:
                yield _said(ranked[news.place], news)
    answered = pipeline.answered(request, *pipeline.ordered(chosen, written))
    for item in answered.reply.data:
        if item.generated is None:
            yield Event("item.done", item)
    pipeline.record(request, answered, requested_at)
    yield Event("ranking", FinalRanking(item_ids=[item.item_id for item in answered.reply.data]))
    yield Event("usage", answered.reply.usage)
    yield Event("done", answered.reply)


def _candidates(request: RecommendationRequest, chosen: Chosen) -> Candidates:
    served = chosen.served
    return Candidates(
        id=chosen.reply_id,
        user_id=request.user_id,
        count=len(served.ranking.item_keys),
        tier=served.tier,
        degraded=list(served.degraded),
    )


def _said(item: RecommendedItem, news: TextNews) -> Event:
    if news.content is None:
        return Event("token", Token(item_id=item.item_id, delta=news.delta))
    return Event("item.done", item.model_copy(update={"generated": news.content}))

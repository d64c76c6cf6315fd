"""Texts about items of the caller's choice, written for one of our users, whole or as they come."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from interest.catalogue import Catalogue
from interest.errors import NotFound, NotReady
from interest.items import Item
from serve.admission import Deadline
from serve.config import GenerationConfig
from serve.pipeline import Pipeline
from serve.queries import check_texts
from serve.schema import GeneratedContent, GeneratedItem, Generation, GenerationRequest
from serve.streaming import Event, Token
from serve.writer import REPLY_MARGIN_S, Interests, Written


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, checked, with what is known of its user."""

    reply_id: str
    items: Sequence[Item]
    interests: Interests
    deadline: Deadline


class Generations:
    """Errors: `NotFound` for an unknown item, `NotReady` when there is no generator or none answers,
    `DeadlineExceeded` without any text in time.
    """

    def __init__(
        self, config: GenerationConfig, pipeline: Pipeline, catalogue: Catalogue, model_versions: Mapping[str, str]
    ) -> None:
        self._config = config
        self._pipeline = pipeline
        self._catalogue = catalogue
        self._versions = dict(model_versions)

    async def generate(self, request: GenerationRequest) -> Generation:
        """The texts in the order of the items; `missing` names those that were not written in time."""
        asked = await self._asked(request)
        written = await self._pipeline.writer.written(request.generate, asked.interests, asked.items, asked.deadline)
        return self._reply(request, asked, written)

    async def events(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """`token`, `item.done`, `usage`, `done`; `done` is what `generate` would have said."""
        asked = await self._asked(request)
        written = Written([])
        writing = self._pipeline.writer.writing(request.generate, asked.interests, asked.items, asked.deadline)
        async with aclosing(writing):
            async for news in writing:
                if isinstance(news, Written):
                    written = news
                elif news.content is None:
                    yield Event("token", Token(item_id=asked.items[news.place].item_id, delta=news.delta))
                else:
                    yield Event("item.done", _item(asked.items[news.place], news.content))
        reply = self._reply(request, asked, written)
        yield Event("usage", reply.usage)
        yield Event("done", reply)

    async def _asked(self, request: GenerationRequest) -> _Asked:
        if not self._config.enabled:
            raise NotReady("generation: switched off in this server's config (generation.enabled)")
        check_texts(request.generate, len(request.item_ids), self._config.max_texts)
        deadline = Deadline(self._pipeline.timeout_s(request.timeout_ms))
        items = [self._known_item(item_id) for item_id in request.item_ids]
        reply_id, interests = await self._pipeline.user(request.user_id, len(items), deadline)
        return _Asked(reply_id, items, interests, deadline)

    def _reply(self, request: GenerationRequest, asked: _Asked, written: Written) -> Generation:
        pairs = list(zip(asked.items, written.contents, strict=True))
        if not any(written.contents):
            asked.deadline.check("generation", REPLY_MARGIN_S)
            raise NotReady("generation: the language model does not answer")
        return Generation(
            id=asked.reply_id,
            user_id=request.user_id,
            data=[_item(item, text) for item, text in pairs if text is not None],
            missing=[item.item_id for item, text in pairs if text is None],
            model_versions=self._versions,
            usage=written.usage,
        )

    def _known_item(self, item_id: str) -> Item:
        view = self._catalogue.view()
        row = view.row_of_id(item_id)
        if row is None:
            raise NotFound(f"item_id={item_id!r}: no such item", "item_ids")
        return view.items[row]


def _item(item: Item, text: GeneratedContent) -> GeneratedItem:
    return GeneratedItem(item_id=item.item_id, **dict(text))

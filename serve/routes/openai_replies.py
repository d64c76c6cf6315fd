"""Completions in the OpenAI API's words: whole replies, and the chunks of a stream."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from serve.generation.completion import Piece
from serve.replies import new_id
from serve.routes.openai_schema import StreamOptions

Json = dict[str, Any]
Kind = Literal["text", "chat"]


@dataclass(frozen=True, slots=True)
class Voice:
    """How one reply speaks: as text or as chat, under which id and model."""

    kind: Kind
    model: str
    id: str = field(default_factory=lambda: new_id("cmpl"))
    created: int = field(default_factory=lambda: int(time.time()))  # unix seconds

    def whole(self, answers: Sequence[Piece]) -> Json:
        """One choice an answer."""
        choices = [self._choice(place, answer, whole=True) for place, answer in enumerate(answers)]
        named = "text_completion" if self.kind == "text" else "chat.completion"
        return {**self._head(named), "choices": choices, "usage": usage(answers)}

    async def chunks(
        self, pieces: AsyncGenerator[tuple[int, Piece], None], prompts: int, options: StreamOptions
    ) -> AsyncGenerator[Json, None]:
        """A chunk a piece. In a chat the first one names the role; usage comes as `options` want it."""
        last = [Piece("", 0, 0, None)] * prompts
        head = self._head("text_completion" if self.kind == "text" else "chat.completion.chunk")
        if options.include_usage and not options.continuous_usage_stats:
            head["usage"] = None
        async with aclosing(pieces):
            async for place, piece in pieces:
                if options.continuous_usage_stats:
                    head = {**head, "usage": usage([piece])}
                if self.kind == "chat" and last[place].completion_tokens == 0:
                    yield {**head, "choices": [_delta(place, {"role": "assistant", "content": ""}, None)]}
                last[place] = piece
                if piece.text or piece.finish_reason:
                    yield {**head, "choices": [self._choice(place, piece, whole=False)]}
        if options.include_usage:
            yield {**head, "choices": [], "usage": usage(last)}

    def _head(self, named: str) -> Json:
        return {"id": self.id, "object": named, "created": self.created, "model": self.model}

    def _choice(self, place: int, piece: Piece, whole: bool) -> Json:
        if self.kind == "text":
            return {"index": place, "text": piece.text, "logprobs": None, "finish_reason": piece.finish_reason}
        if not whole:
            return _delta(place, {"content": piece.text} if piece.text else {}, piece.finish_reason)
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {"index": place, "message": message, "logprobs": None, "finish_reason": piece.finish_reason}


def usage(answers: Sequence[Piece]) -> Json:
    """The tokens of all answers together."""
    prompt, completion = (sum(one.prompt_tokens for one in answers), sum(one.completion_tokens for one in answers))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _delta(place: int, delta: Json, finish_reason: str | None) -> Json:
    return {"index": place, "delta": delta, "logprobs": None, "finish_reason": finish_reason}

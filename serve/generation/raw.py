"""Completions as the caller words them: no items, no users, no check; one engine request each, all at once."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from interest.errors import NotFound
from serve.generation.completion import Adapter, Piece, Prompt, Sampling
from serve.generation.merge import merged


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """A prompt, or messages of `role` and `content` instead, and how to go on from there."""

    prompt: Prompt = ""
    messages: tuple[dict[str, str], ...] = ()
    sampling: Sampling
    adapter: str = ""  # by the name that the config gives it; "": the model as it is


class RawEngine(Protocol):
    """What raw completions need of an engine; `GenerationEngine` is one."""

    def chat_prompt(self, messages: Sequence[dict[str, str]]) -> Prompt: ...

    async def complete(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> Piece: ...

    def stream(
        self, prompt: Prompt, request_id: str, sampling: Sampling, cache_salt: str = "", adapter: Adapter | None = None
    ) -> AsyncGenerator[Piece, None]: ...


def no_adapter(name: str, cache_salt: str) -> Adapter:
    """Raises `NotFound`."""
    raise NotFound(f"model={name!r}: no adapter of that name is loaded", "model")


class RawCompletions:
    """Answers raw requests with an engine. Errors: `InvalidRequest` for what the engine refuses, `EngineDead`.

    `named` finds an adapter for the caller with this cache salt; what it raises, an unknown name raises.
    """

    def __init__(self, engine: RawEngine, named: Callable[[str, str], Adapter] = no_adapter) -> None:
        self._engine = engine
        self._named = named
        self._prefix = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()

    async def complete(self, requests: Sequence[RawRequest], cache_salt: str = "") -> list[Piece]:
        """Whole answers, in order. The first error, and the cancellation of the caller, drop every request."""
        running = [
            asyncio.ensure_future(
                self._engine.complete(self._prompt(one), self._request_id(), one.sampling, cache_salt, adapter)
            )
            for one, adapter in self._adapted(requests, cache_salt)
        ]
        try:
            return await asyncio.gather(*running)
        finally:
            for future in running:
                future.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def stream(
        self, requests: Sequence[RawRequest], deadline_s: float, cache_salt: str = ""
    ) -> AsyncGenerator[list[tuple[int, Piece]], None]:
        """(place of the request, what is new of its answer), until all have ended or `deadline_s` is over."""
        sources = [
            self._engine.stream(self._prompt(one), self._request_id(), one.sampling, cache_salt, adapter)
            for one, adapter in self._adapted(requests, cache_salt)
        ]
        async with aclosing(merged(sources, deadline_s)) as growing:
            async for pieces in growing:
                yield _joined(pieces)

    def _adapted(self, requests: Sequence[RawRequest], cache_salt: str) -> list[tuple[RawRequest, Adapter | None]]:
        return [(one, self._named(one.adapter, cache_salt) if one.adapter else None) for one in requests]

    def _prompt(self, request: RawRequest) -> Prompt:
        return self._engine.chat_prompt(request.messages) if request.messages else request.prompt

    def _request_id(self) -> str:
        return f"raw-{self._prefix}-{next(self._numbers)}"


def _joined(pieces: Sequence[tuple[int, Piece]]) -> list[tuple[int, Piece]]:
    """One piece an answer: what was said, and what its last piece says of the whole."""
    found: dict[int, Piece] = {}
    for place, piece in pieces:
        before = found.get(place)
        found[place] = piece if before is None else replace(piece, text=before.text + piece.text)
    return list(found.items())

"""Pieces of an answer that travel together."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from serve.generation.completion import Piece
from serve.generation.merge import merged
from serve.generation.pacing import paced

PIECES = [Piece(letter, 3, number, "stop" if letter == "f" else None) for number, letter in enumerate("abcdef", 1)]


class Written:
    """One piece a second, by its own clock; after three of them it fails or waits for ever, if it is told to."""

    def __init__(self, then: Exception | str = "go on") -> None:
        self.then = then
        self.now = 100.0
        self.ended = False

    def clock(self) -> float:
        return self.now

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        try:
            for piece in PIECES:
                yield piece
                self.now += 1.0
                if piece.text == "c" and isinstance(self.then, Exception):
                    raise self.then
                if piece.text == "c" and self.then == "hang":
                    await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest.mark.parametrize(
    ("interval_s", "texts"),
    [(0.0, ["a", "b", "c", "d", "e", "f"]), (2.0, ["a", "bc", "de", "f"]), (60.0, ["a", "bcdef"])],
)
async def test_what_comes_in_an_interval_is_one_piece_and_the_first_and_the_last_do_not_wait(
    interval_s: float, texts: list[str]
) -> None:
    written = Written()
    found = [piece async for piece in paced(written.pieces(), interval_s, written.clock)]
    assert [piece.text for piece in found] == texts
    assert found[-1].completion_tokens == len(PIECES)
    assert found[-1].finish_reason == "stop"


async def test_a_piece_counts_the_tokens_up_to_its_end() -> None:
    written = Written()
    found = [piece async for piece in paced(written.pieces(), 2.0, written.clock)]
    assert [piece.completion_tokens for piece in found] == [1, 3, 5, 6]


async def test_closing_it_ends_the_answer() -> None:
    written = Written()
    async with aclosing(paced(written.pieces(), 2.0, written.clock)) as growing:
        await anext(growing)
    assert written.ended


async def test_an_error_comes_after_what_was_said_before_it() -> None:
    growing = paced(Written(ZeroDivisionError()).pieces(), 60.0, lambda: 0.0)
    found = [await anext(growing), await anext(growing)]
    assert [(piece.text, piece.completion_tokens) for piece in found] == [("a", 1), ("bc", 3)]
    with pytest.raises(ZeroDivisionError):
        await anext(growing)


async def test_what_was_said_before_a_deadline_comes() -> None:
    written = Written("hang")
    growing = merged([paced(written.pieces(), 60.0, written.clock)], 0.05)
    assert [[piece.text for _, piece in values] async for values in growing] == [["a"], ["bc"]]
    assert written.ended

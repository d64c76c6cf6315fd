"""Several growing answers as one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from serve.generation.merge import merged


class Source:
    """Gives its values one a turn of the loop, then ends, fails, or waits for ever."""

    def __init__(self, values: str, then: Exception | str = "end") -> None:
        self.values = values
        self.then = then
        self.ended = False

    async def run(self) -> AsyncGenerator[str, None]:
        try:
            for value in self.values:
                yield value
                await asyncio.sleep(0)
            if isinstance(self.then, Exception):
                raise self.then
            if self.then == "hang":
                await asyncio.Event().wait()
        finally:
            self.ended = True


async def gathered(sources: list[Source], deadline_s: float = 60.0) -> dict[int, str]:
    texts = dict.fromkeys(range(len(sources)), "")
    async for values in merged([source.run() for source in sources], deadline_s):
        assert values
        for number, value in values:
            texts[number] += value
    return texts


async def test_every_value_comes_once_in_the_order_of_its_source() -> None:
    assert await gathered([Source("abc"), Source(""), Source("defgh")]) == {0: "abc", 1: "", 2: "defgh"}
    assert await gathered([]) == {}


async def test_what_waits_together_comes_together() -> None:
    lists = merged([source.run() for source in (Source("ab"), Source("cd"))], 60.0)
    async with aclosing(lists):
        assert sorted(await anext(lists)) == [(0, "a"), (1, "c")]


async def test_after_the_deadline_nothing_comes_and_every_source_has_ended() -> None:
    sources = [Source("abc"), Source("d", "hang")]
    assert await gathered(sources, 0.05) == {0: "abc", 1: "d"}
    assert all(source.ended for source in sources)


async def test_an_error_comes_after_the_values_before_it_and_ends_the_others() -> None:
    sources = [Source("ab", ZeroDivisionError()), Source("c", "hang")]
    seen = []
    lists = merged([source.run() for source in sources], 60.0)

    async def read() -> None:
        async for values in lists:
            seen.extend(values)

    with pytest.raises(ZeroDivisionError):
        await read()
    assert sorted(seen) == [(0, "a"), (0, "b"), (1, "c")]
    assert all(source.ended for source in sources)


@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_leaving_ends_every_source(leave: str) -> None:
    sources = [Source("a", "hang"), Source("b", "hang")]
    lists = merged([source.run() for source in sources], 60.0)
    await anext(lists)
    if leave == "close":
        await lists.aclose()
    else:
        asking = asyncio.ensure_future(anext(lists))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
    assert all(source.ended for source in sources)

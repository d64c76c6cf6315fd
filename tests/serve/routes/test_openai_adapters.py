"""Adapters as further models of the OpenAI routes, and as the voice of a domain: the stock client names them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from interest.errors import NotFound
from serve.generation.completion import Adapter
from serve.generation.generator import Generator
from serve.generation.raw import RawCompletions

pytestmark = pytest.mark.asyncio(loop_scope="module")

WANTED = {"e-commerce": "short", "tenant:0123": "secret", "news": "later"}
SHORT = Adapter("short/1", 1, "somewhere")
ASK = {"prompt": "one two three", "max_tokens": 5}


def named(name: str, tenant: str) -> Adapter:
    if name != "short":
        raise NotFound(f"model={name!r}: no adapter of that name is loaded", "model")
    return SHORT


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def adapting(home: Any, module_server: Any) -> AsyncIterator[Any]:
    async with type(module_server)(home.config(generation={"adapters": WANTED})) as running:
        stage = running.models["generator"]
        stage._raw = RawCompletions(running.engine, named)
        stage._generator = Generator(
            running.engine, adapter_of=lambda task, tenant: SHORT if task.item.domain == "e-commerce" else None
        )
        async with asyncio.timeout(60):
            while (await running.client.get("/ready")).status_code != 200:  # its warm-up asks the engine too
                await asyncio.sleep(0.05)
        yield running


@pytest.fixture
def client(adapting: Any) -> openai.AsyncOpenAI:
    adapting.engine.adapters.clear()
    return openai.AsyncOpenAI(api_key="none", base_url="http://attune/v1", http_client=adapting.client, max_retries=0)


async def test_adapters_are_listed_behind_their_model_and_those_of_other_tenants_are_not(client: Any) -> None:
    models = [model async for model in client.models.list()]
    assert [model.id for model in models][:3] == ["demo", "later", "short"]
    assert (models[1].parent, models[1].max_model_len) == ("demo", models[0].max_model_len)
    assert "secret" not in {model.id for model in models}
    assert (await client.models.retrieve("short")).id == "short"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_is_written_with_the_adapter_that_it_names(client: Any, adapting: Any, stream: bool) -> None:
    answer = await client.completions.create(model="short", stream=stream, **ASK)
    chunks = [chunk async for chunk in answer] if stream else [answer]
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "one two three one two"
    assert {chunk.model for chunk in chunks} == {"short"}
    assert adapting.engine.adapters == [SHORT]
    await client.completions.create(model="demo", **ASK)
    assert adapting.engine.adapters == [SHORT, None]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "code"), [("never", "model_not_found"), ("secret", "model_not_found"), ("later", "not_found")]
)
async def test_an_adapter_that_cannot_be_served_is_a_404_that_names_it(
    client: Any, name: str, code: str, stream: bool
) -> None:
    with pytest.raises(openai.NotFoundError, match=repr(name)) as refused:
        await client.completions.create(model=name, stream=stream, **ASK)
    assert (refused.value.code, refused.value.param) == (code, "model")


async def test_texts_of_a_domain_are_written_with_its_adapter(client: Any, adapting: Any, home: Any) -> None:
    items = {
        domain: next(i.item_id for i in home.world.items if i.domain == domain) for domain in ("e-commerce", "news")
    }
    for item_id in items.values():
        body = {"user_id": "u1", "item_ids": [item_id], "generate": {}}
        assert (await adapting.client.post("/v1/generations", json=body)).status_code == 200
    assert adapting.engine.adapters == [SHORT, None]

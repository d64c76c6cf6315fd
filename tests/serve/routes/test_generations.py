"""Texts about items that the caller names."""

import asyncio
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from interest.errors import AttuneError
from serve.config import GenerationConfig
from serve.generation.generator import GeneratedText
from tests.serve.routes.calls import error_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_generations_write_about_the_items_that_were_asked_for(server: Any, home: Any) -> None:
    wanted = [item.item_id for item in home.world.items[:3]]
    answer = await server.client.post("/v1/generations", json={"user_id": "u", "item_ids": wanted})
    assert [item["item_id"] for item in answer.json()["data"]] == wanted
    assert answer.json()["missing"] == []
    unknown = await server.client.post("/v1/generations", json={"user_id": "u", "item_ids": ["no-such"]})
    assert unknown.status_code == 404


def texts_for(answered: int) -> Any:
    """A generator that finishes the first so many texts of a call."""

    async def infer(tensors: Any) -> Any:
        bodies = np.empty(len(tensors["task"]), dtype=object)
        bodies[:] = [b"null"] * len(bodies)
        text = GeneratedText("A text.", "model", None, 10, 5)
        bodies[:answered] = [msgspec.json.encode(text)] * answered
        return {"text": bodies}

    return infer


async def generation(server: Any, home: Any, **body: Any) -> httpx.Response:
    wanted = [item.item_id for item in home.world.items[:3]]
    answer: httpx.Response = await server.client.post(
        "/v1/generations", json={"user_id": "u", "item_ids": wanted, **body}
    )
    return answer


async def test_a_generation_names_the_items_it_has_no_text_for(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.models["generator"], "infer", texts_for(1))
    reply = (await generation(server, home)).json()
    first, *others = [item.item_id for item in home.world.items[:3]]
    assert [item["item_id"] for item in reply["data"]] == [first]
    assert reply["missing"] == others
    assert reply["usage"] == {"prompt_tokens": 10, "completion_tokens": 5}


async def test_a_generation_without_any_text_is_an_error_that_says_why(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(tensors: Any) -> Any:
        await asyncio.Event().wait()

    server.broken["generator"] = AttuneError("engine dead")
    dead = await generation(server, home)
    assert (dead.status_code, error_of(dead)["message"]) == (503, "generation: the language model does not answer")
    server.broken.clear()
    monkeypatch.setattr(server.models["generator"], "infer", hangs)
    slow = await generation(server, home, timeout_ms=100)
    assert (slow.status_code, error_of(slow)["code"]) == (408, "deadline_exceeded")
    monkeypatch.setattr(server.ingress._api.generations, "_config", GenerationConfig(enabled=False))
    disabled = await generation(server, home)
    assert disabled.status_code == 503
    assert "generation.enabled" in error_of(disabled)["message"]


async def test_a_text_is_labelled_with_the_language_it_was_written_in(
    server: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = next(item for item in home.world.items if item.language == "en")
    body = {"user_id": "u", "item_ids": [english.item_id]}

    async def language(**generate: Any) -> str:
        answer = await server.client.post("/v1/generations", json={**body, "generate": generate})
        assert server.engine.asked[-1].language == answer.json()["data"][0]["language"]
        return str(server.engine.asked[-1].language)

    assert await language() == "en"
    writer = server.ingress._api.pipeline.writer
    monkeypatch.setattr(writer, "_config", GenerationConfig(default_language="zh"))
    assert await language() == "zh"
    assert await language(language="en") == "en"

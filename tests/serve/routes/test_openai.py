"""The OpenAI-compatible routes over an engine that repeats the prompt: shapes, usage, streams, errors, leaving."""

import asyncio
import base64
import json
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from interest.errors import AttuneError, EngineDead
from serve.config import GenerationConfig
from serve.generation.completion import Sampling
from serve.routes.sse import EventStream
from tests.serve.routes.calls import Leaver, error_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "/v1/completions"
CHAT = "/v1/chat/completions"
ASK = {"model": "demo", "prompt": "one two three", "max_tokens": 5}
TALK = {"model": "demo", "messages": [{"role": "user", "content": "one two three"}], "max_completion_tokens": 5}
SAID = "one two three one two"


@pytest.fixture
def client(server: Any) -> openai.AsyncOpenAI:
    """The stock client over the server in this process."""
    return openai.AsyncOpenAI(api_key="none", base_url="http://attune/v1", http_client=server.client, max_retries=0)


def chunks_of(answer: httpx.Response) -> list[Any]:
    """The events of a stream, which must end as OpenAI's do."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    lines = answer.text.split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def test_the_models_are_the_language_model_first_and_the_encoder(server: Any, client: Any) -> None:
    models = [model async for model in client.models.list()]
    encoder = server.ingress._api.embeddings.model
    assert [model.id for model in models] == ["demo", encoder]
    assert models[0].max_model_len == server.config.generation.engine.max_model_len
    assert (await client.models.retrieve(encoder)).owned_by == "attune"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("gpt/4")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_completion_holds_the_text_and_counts_its_tokens(client: Any) -> None:
    answer = await client.completions.create(**ASK)
    assert [(choice.index, choice.text, choice.finish_reason) for choice in answer.choices] == [(0, SAID, "length")]
    assert (answer.object, answer.model) == ("text_completion", "demo")
    assert answer.usage.to_dict() == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


async def test_each_prompt_of_a_list_gets_a_choice_and_token_ids_are_prompts(client: Any) -> None:
    several = await client.completions.create(model="demo", prompt=["a", "b c"], max_tokens=2)
    assert [(choice.index, choice.text) for choice in several.choices] == [(0, "a a"), (1, "b c")]
    assert several.usage.to_dict() == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    for prompt, said in (([7, 8], ["<7> <8>"]), ([[7], [8, 9]], ["<7> <7>", "<8> <9>"])):
        answer = await client.completions.create(model="demo", prompt=prompt, max_tokens=2)
        assert [choice.text for choice in answer.choices] == said


async def test_a_chat_answers_by_its_messages_whatever_form_their_contents_have(client: Any) -> None:
    parts = [{"type": "text", "text": "two "}, {"type": "text", "text": "three"}]
    messages = [{"role": "developer", "content": "one"}, {"role": "user", "content": parts}]
    answer = await client.chat.completions.create(model="demo", messages=messages, max_completion_tokens=5)
    assert (answer.object, answer.choices[0].message.role) == ("chat.completion", "assistant")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (SAID, "length")
    assert answer.usage.total_tokens == 8


@pytest.mark.parametrize("prompts", ["one two three", ["one two three", "four"]])
async def test_a_streamed_completion_says_what_the_whole_one_says(server: Any, client: Any, prompts: Any) -> None:
    body = {**ASK, "prompt": prompts}
    whole = await client.completions.create(**body)
    said = {choice.index: "" for choice in whole.choices}
    ends: dict[int, str] = {}
    async for chunk in await client.completions.create(**body, stream=True):
        assert chunk.usage is None
        for choice in chunk.choices:
            said[choice.index] += choice.text
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert said == {choice.index: choice.text for choice in whole.choices}
    assert ends == {choice.index: choice.finish_reason for choice in whole.choices}


async def test_a_streamed_chat_names_the_role_once_and_then_speaks(client: Any) -> None:
    stream = await client.chat.completions.create(**TALK, stream=True)
    deltas = [chunk.choices[0] async for chunk in stream]
    assert [choice.delta.role for choice in deltas] == ["assistant", *[None] * 5]
    assert "".join(choice.delta.content or "" for choice in deltas) == SAID
    assert [choice.finish_reason for choice in deltas] == [*[None] * 5, "length"]


@pytest.mark.parametrize(("path", "body"), [(TEXT, ASK), (CHAT, TALK)])
async def test_usage_comes_last_and_alone_or_in_every_chunk_as_it_is_wanted(server: Any, path: str, body: Any) -> None:
    total = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}

    async def chunks(**options: bool) -> list[Any]:
        asked = {**body, "stream": True, "stream_options": options}
        return chunks_of(await server.client.post(path, json=asked))

    *before, last = await chunks(include_usage=True)
    assert (last["choices"], last["usage"]) == ([], total)
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in before)
    growing = await chunks(include_usage=True, continuous_usage_stats=True)
    counts = [chunk["usage"]["completion_tokens"] for chunk in growing if chunk["choices"]]
    assert counts == sorted(counts)
    assert set(counts) == {1, 2, 3, 4, 5}
    assert (growing[-1]["choices"], growing[-1]["usage"]) == ([], total)
    assert all("usage" not in chunk and chunk["choices"] for chunk in await chunks())


async def test_what_the_caller_says_of_sampling_reaches_the_engine(server: Any) -> None:
    said: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "ignore_eos": True,
    }
    more: dict[str, Any] = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "min_tokens": 2, "ignore_eos": True}
    neutral = {"n": 1, "logprobs": None, "stop": None, "best_of": 1, "echo": False, "user": "me", "suffix": None}
    answer = await server.client.post(TEXT, json={**neutral, **ASK, **said, **more, "stop": ["x", "y"]})
    assert answer.status_code == 200, answer.text
    assert server.engine.sampled[-1] == Sampling(**{**said, **more, "stop": ("x", "y"), "max_tokens": 5})
    chat = {**TALK, "max_tokens": 9, "stop": "two", "temperature": 0, "seed": 3}
    reply = (await server.client.post(CHAT, json=chat)).json()
    assert reply["choices"][0] | {"logprobs": 0} == {
        "index": 0,
        "message": {"role": "assistant", "content": "one", "refusal": None},
        "finish_reason": "stop",
        "logprobs": 0,
    }
    assert server.engine.sampled[-1] == Sampling(max_tokens=5, temperature=0.0, stop=("two",))
    await server.client.post(TEXT, json={"model": "demo", "prompt": "a"})
    assert server.engine.sampled[-1] == Sampling(max_tokens=16)


async def test_a_schema_for_the_answer_reaches_the_engine(server: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "雪"]}}, "required": ["a"]}
    named = {"name": "answer", "strict": True, "schema": schema}
    asked = {**TALK, "response_format": {"type": "json_schema", "json_schema": named}}
    answer = await server.client.post(CHAT, json=asked)
    assert answer.status_code == 200, answer.text
    assert json.loads(server.engine.sampled[-1].json_schema) == schema
    for plain in ({"type": "text"}, None):
        await server.client.post(CHAT, json={**TALK, "response_format": plain})
        assert server.engine.sampled[-1].json_schema == ""
    for wrong in ({**named, "schema": {"x": "y" * 20_000}}, {"name": "answer"}, {**named, "more": 1}):
        refused = await server.client.post(
            CHAT, json={**TALK, "response_format": {"type": "json_schema", "json_schema": wrong}}
        )
        assert refused.status_code == 422
        assert error_of(refused)["param"].startswith("response_format")


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (TEXT, {**ASK, "model": "gpt-4"}, 404, "model"),
        (CHAT, {**TALK, "model": "gpt-4", "stream": True}, 404, "model"),
        ("/v1/embeddings", {"model": "demo", "input": "a"}, 404, "model"),
        ("/v2/rerank", {"model": "demo", "query": "a", "documents": ["b"]}, 404, "model"),
        (TEXT, {**ASK, "n": 2}, 422, "n"),
        (TEXT, {**ASK, "temperature": 3}, 422, "temperature"),
        (TEXT, {**ASK, "seed": 1}, 422, "seed"),
        (TEXT, {**ASK, "min_tokens": 6}, 422, "min_tokens"),
        (TEXT, {**ASK, "nope": 1}, 422, "nope"),
        (TEXT, {"model": "demo"}, 422, "prompt"),
        (TEXT, {**ASK, "prompt": ["a"] * 101}, 422, "prompt"),
        (CHAT, {**TALK, "messages": []}, 422, "messages"),
        (CHAT, {**TALK, "messages": [{"role": "tool", "content": "a"}]}, 422, "messages.0.role"),
        (TEXT, {**ASK, "prompt": "refuse this"}, 422, None),
        (TEXT, {**ASK, "prompt": "refuse this", "stream": True}, 422, None),
        ("/rerank", {"query": " ", "documents": ["b"]}, 422, "query"),
        ("/rerank", {"query": "a", "documents": ["b", ""]}, 422, "documents.1"),
    ],
)
async def test_a_refusal_is_the_one_envelope_streamed_or_not(
    server: Any, path: str, body: Any, status: int, param: str | None
) -> None:
    answer = await server.client.post(path, json=body)
    assert (answer.status_code, error_of(answer)["param"]) == (status, param), answer.text
    assert error_of(answer)["code"] == ("model_not_found" if status == 404 else "invalid_request")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dead_engine_a_missing_permit_and_a_late_answer_have_their_status(server: Any, stream: bool) -> None:
    body = {**ASK, "stream": stream}
    server.broken["generator"] = EngineDead("gone")
    assert (await server.client.post(TEXT, json=body)).status_code == 503
    server.broken.clear()
    server.ingress._api.permits.limit = 0
    shed = await server.client.post(TEXT, json=body)
    assert (shed.status_code, int(shed.headers["retry-after"]) > 0) == (429, True)
    server.ingress._api.permits.limit = 8
    server.engine.may_go_on.clear()
    late = await server.client.post(TEXT, json=body, headers={"X-Request-Timeout-Ms": "100"})
    if stream:  # its first piece was out in time
        assert late.status_code == 200
        assert json.loads(late.text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "deadline_exceeded"
        assert "[DONE]" not in late.text
    else:
        assert (late.status_code, error_of(late)["code"]) == (408, "deadline_exceeded")
    await ended(server)


async def test_an_error_that_nobody_foresaw_is_told_without_its_text(server: Any) -> None:
    server.broken["generator"] = ZeroDivisionError("secret")
    for stream in (False, True):
        answer = await server.client.post(TEXT, json={**ASK, "stream": stream})
        assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
        assert "secret" not in answer.text


async def ended(server: Any) -> None:
    """Waits until the engine has no stream and no request holds a permit."""
    async with asyncio.timeout(5):
        while server.engine.streaming or server.ingress._api.permits.in_flight:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("error", [EngineDead("gone"), ZeroDivisionError("secret")])
async def test_an_error_in_the_middle_is_told_in_the_stream(server: Any, error: Exception) -> None:
    server.breaking["generator"] = error
    answer = await server.client.post(TEXT, json={**ASK, "stream": True})
    assert answer.status_code == 200
    first, *_, last = answer.text.split("\n\n")[:-1]
    assert json.loads(first.removeprefix("data: "))["choices"][0]["text"] == "one"
    told = json.loads(last.removeprefix("data: "))["error"]
    assert told["code"] == ("engine_dead" if isinstance(error, AttuneError) else "internal_error")
    assert "secret" not in answer.text
    await ended(server)


@pytest.mark.parametrize("where", ["before the first piece", "in the middle"])
async def test_a_caller_who_leaves_stops_the_engine_and_gives_the_permit_back(server: Any, where: str) -> None:
    server.engine.may_go_on.clear()
    caller = Leaver(server, TEXT, **{**ASK, "max_tokens": 900, "stream": where == "in the middle"})
    async with asyncio.timeout(5):
        while not server.engine.streaming or (where == "in the middle" and not caller.chunks):
            await asyncio.sleep(0.005)
    assert server.ingress._api.permits.in_flight == 1
    await caller.leave()
    await ended(server)


async def test_a_stream_that_nobody_listened_to_is_closed_with_its_reply() -> None:
    closed = asyncio.Event()

    async def chunks() -> Any:
        try:
            yield b"one"
            await asyncio.sleep(60)
        finally:
            closed.set()

    async def fail(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the connection is gone")

    with pytest.raises(OSError, match="gone"):
        await EventStream(chunks())({"type": "http"}, fail, fail)  # type: ignore[arg-type]
    assert closed.is_set()


async def test_without_a_language_model_completions_are_not_ready_and_not_listed(home: Any, module_server: Any) -> None:
    config = home.config(generation=GenerationConfig(enabled=False).model_dump())
    async with type(module_server)(config) as silent:
        for stream in (False, True):
            answer = await silent.client.post(TEXT, json={**ASK, "stream": stream})
            assert (answer.status_code, error_of(answer)["code"]) == (503, "not_ready")
        listed = (await silent.client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == [silent.ingress._api.embeddings.model]


async def test_embeddings_are_the_encoders_unit_vectors_in_either_encoding(server: Any, client: Any) -> None:
    model = server.ingress._api.embeddings.model
    texts = ["a red lamp", "两个字", "a red lamp"]
    decoded = await client.embeddings.create(model=model, input=texts)  # this client asks for base64
    answer = await server.client.post("/v1/embeddings", json={"model": model, "input": texts})
    rows = np.array([row["embedding"] for row in answer.json()["data"]])
    np.testing.assert_allclose([row.embedding for row in decoded.data], rows, atol=1e-7)
    encoder = server.models["encoder"]._encoder
    np.testing.assert_allclose(rows, encoder.encode(texts), atol=1e-6)
    tokens = int(encoder.count_tokens(texts).sum())
    assert answer.json()["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    raw = {"model": model, "input": "a red lamp", "encoding_format": "base64"}
    one = (await server.client.post("/v1/embeddings", json=raw)).json()["data"][0]["embedding"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(one), "<f4"), rows[0], atol=1e-7)
    wrong = await server.client.post("/v1/embeddings", json={**raw, "dimensions": rows.shape[1] - 1})
    assert (wrong.status_code, error_of(wrong)["param"]) == (422, "dimensions")
    blank = await server.client.post("/v1/embeddings", json={"model": model, "input": ["a", " "]})
    assert (blank.status_code, error_of(blank)["param"]) == (422, "input.1")


async def test_more_texts_than_the_encoder_takes_at_once_keep_their_order(server: Any) -> None:
    model = server.ingress._api.embeddings.model
    texts = [f"lamp {number}" for number in range(150)]
    answer = await server.client.post("/v1/embeddings", json={"model": model, "input": texts})
    rows = np.array([row["embedding"] for row in answer.json()["data"]])
    np.testing.assert_allclose(rows, server.models["encoder"]._encoder.encode(texts), atol=1e-6)
    too_many = await server.client.post("/v1/embeddings", json={"model": model, "input": ["a"] * 1001})
    assert (too_many.status_code, error_of(too_many)["param"]) == (422, "input")


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
async def test_reranking_orders_by_the_cosine_ties_by_the_place(server: Any, path: str) -> None:
    documents = ["garden chairs", "a red lamp", {"text": "red lamp shade"}, "a red lamp"]
    body = {"model": server.ingress._api.embeddings.model, "query": "a red lamp", "documents": documents, "top_n": 3}
    reply = (await server.client.post(path, json={**body, "return_documents": True})).json()
    assert [row["index"] for row in reply["results"]] == [1, 3, 2]
    vectors = server.models["encoder"]._encoder.encode(["red lamp shade", "a red lamp"])
    assert reply["results"][2]["relevance_score"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    assert reply["results"][0]["relevance_score"] == pytest.approx(1.0, abs=1e-6)
    assert reply["results"][2]["document"] == {"text": "red lamp shade"}
    assert reply["usage"]["total_tokens"] > 0
    plain = (await server.client.post(path, json={"query": "a red lamp", "documents": documents})).json()
    assert [set(row) for row in plain["results"]] == [{"index", "relevance_score"}] * 4

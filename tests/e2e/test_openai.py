"""The OpenAI-compatible routes on the real cluster and real vLLM, asked by the stock client."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import openai
import pytest

from serve.generation.prompt import GenerationTask, ItemFacts, build_prompt
from tests.e2e.waiting import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

PROMPT = build_prompt(GenerationTask(item=ItemFacts(title="Copper Lamp", domain="e-commerce")))
LONG: dict[str, Any] = {"model": "demo", "prompt": PROMPT, "max_tokens": 900, "extra_body": {"ignore_eos": True}}
RUNNING, TOKENS = "vllm:num_requests_running", "vllm:generation_tokens_total"


@pytest.fixture
def client(cluster: Any) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="none", base_url=f"{cluster.url}/v1", max_retries=0, timeout=60) as stock:
        yield stock


def counter(cluster: Any, name: str) -> float:
    """One of the engine's own, summed over its labels."""
    text = httpx.get(f"{cluster.url}/metrics", timeout=60).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def falls_idle(cluster: Any, within_s: float = 1.0) -> bool:
    return eventually(lambda: counter(cluster, RUNNING) == 0, within_s)


def test_the_stock_client_finds_the_models(cluster: Any, client: openai.OpenAI) -> None:
    first, second = client.models.list().data
    assert (first.id, second.id) == ("demo", "ngram-64-" + second.id[-8:])
    assert client.models.retrieve("demo").owned_by == "attune"


def test_a_completion_comes_from_the_language_model_whole_and_streamed_alike(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="demo", prompt=PROMPT, max_tokens=60, temperature=0)
    assert '"Copper Lamp"' in whole.choices[0].text
    assert whole.choices[0].finish_reason == "stop"
    options: Any = {"include_usage": True}
    stream = client.completions.create(
        model="demo", prompt=PROMPT, max_tokens=60, temperature=0, stream=True, stream_options=options
    )
    *chunks, last = stream
    assert len(chunks) > 1, "it did not come as it was written"  # the first at once, the rest as the machine is quick
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert last.choices == []
    assert last.usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.prompt_tokens > 20


def test_a_chat_streams_a_role_the_words_and_the_usage(client: openai.OpenAI) -> None:
    asked: Any = {"model": "demo", "messages": [{"role": "user", "content": PROMPT}], "temperature": 0}
    whole = client.chat.completions.create(**asked, max_completion_tokens=60)
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    *chunks, last = client.chat.completions.create(
        **asked, max_completion_tokens=60, stream=True, stop=None, stream_options=options
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert (last.choices, last.usage) == ([], whole.usage)


def test_lengths_stops_and_prompts_of_every_kind_are_heeded(client: openai.OpenAI) -> None:
    cut = client.completions.create(**LONG | {"max_tokens": 30})
    assert cut.usage is not None
    assert (cut.usage.completion_tokens, cut.choices[0].finish_reason) == (30, "length")
    stopped = client.completions.create(model="demo", prompt=PROMPT, max_tokens=60, temperature=0, stop=["Lamp"])
    assert stopped.choices[0].text.endswith("Copper ")
    several = client.completions.create(
        model="demo", prompt=[[5, 6], [7]], max_tokens=4, extra_body={"ignore_eos": True}
    )
    assert several.usage is not None
    assert (len(several.choices), several.usage.to_dict()) == (
        2,
        {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11},
    )
    whole = client.completions.create(**LONG | {"max_tokens": 5000})
    assert whole.usage is not None
    assert whole.usage.total_tokens == 1024, "the context is the bound"


def test_embeddings_and_reranking_agree(cluster: Any, client: openai.OpenAI) -> None:
    encoder = client.models.list().data[1].id
    texts = ["a copper lamp", "an oak table", "the copper lamp of our house"]
    vectors = [row.embedding for row in client.embeddings.create(model=encoder, input=texts).data]
    plain = client.embeddings.create(model=encoder, input=texts, encoding_format="float")
    assert plain.usage.prompt_tokens > 0
    assert all(math.isclose(math.hypot(*row.embedding), 1, abs_tol=1e-5) for row in plain.data)
    assert all(math.dist(a, b.embedding) < 1e-6 for a, b in zip(vectors, plain.data, strict=True))
    cosines = [sum(a * b for a, b in zip(vectors[0], one, strict=True)) for one in vectors]
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        body = {"model": encoder, "query": texts[0], "documents": texts[1:], "top_n": 2}
        results = httpx.post(f"{cluster.url}{path}", json=body, timeout=60).json()["results"]
        scores = {row["index"]: row["relevance_score"] for row in results}
        assert list(scores) == sorted(scores, key=lambda index: -scores[index])
        assert scores == pytest.approx({0: cosines[1], 1: cosines[2]}, abs=1e-5)


def test_errors_are_the_stock_clients_own_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.completions.create(model="gpt-4", prompt="a")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    for stream in (False, True):
        with pytest.raises(openai.UnprocessableEntityError) as too_long:
            client.completions.create(model="demo", prompt="word " * 3000, max_tokens=4, stream=stream)
        assert "1024" in too_long.value.message
        assert too_long.value.code == "invalid_request"
    with pytest.raises(openai.UnprocessableEntityError) as named:
        client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "a"}], n=2)
    assert named.value.param == "n"


def test_a_late_answer_is_an_error_and_stops_the_engine(cluster: Any, client: openai.OpenAI) -> None:
    late = {"X-Request-Timeout-Ms": "700"}
    with pytest.raises(openai.APIStatusError) as refused:
        client.completions.create(**LONG, extra_headers=late)
    assert refused.value.status_code == 408
    assert falls_idle(cluster)
    with pytest.raises(openai.APIError, match="700 ms"):
        for _ in client.completions.create(**LONG, extra_headers=late, stream=True):
            pass
    assert falls_idle(cluster)


@pytest.mark.parametrize("path", ["completions", "chat/completions"])
def test_closing_a_stream_stops_the_engine_within_a_second(cluster: Any, path: str) -> None:
    body: dict[str, Any] = {"model": "demo", "max_tokens": 900, "ignore_eos": True, "stream": True}
    body |= {"prompt": PROMPT} if path == "completions" else {"messages": [{"role": "user", "content": PROMPT}]}
    assert falls_idle(cluster, 10)
    with httpx.Client(timeout=60) as caller:
        with caller.stream("POST", f"{cluster.url}/v1/{path}", json=body) as answer:
            lines = (line for line in answer.iter_lines() if line)
            assert json.loads(next(lines).removeprefix("data: "))["model"] == "demo"
            assert counter(cluster, RUNNING) == 1
            time.sleep(1.0)
            assert counter(cluster, RUNNING) == 1, "it must still be at work, or the test shows nothing"
        assert falls_idle(cluster)
    written = counter(cluster, TOKENS)
    time.sleep(0.5)
    assert counter(cluster, TOKENS) == written


def test_many_callers_who_leave_at_once_leave_the_engine_to_the_one_who_stays(cluster: Any) -> None:
    body = {"model": "demo", "prompt": PROMPT, "max_tokens": 900, "ignore_eos": True, "stream": True}
    assert falls_idle(cluster, 10)
    with httpx.Client(timeout=60) as client:
        asked = client.build_request("POST", f"{cluster.url}/v1/completions", json=body)
        leaving = [client.send(asked, stream=True) for _ in range(8)]
        with client.stream("POST", f"{cluster.url}/v1/completions", json=body) as stays:
            lines = (line for line in stays.iter_lines() if line)
            next(lines)
            assert eventually(lambda: counter(cluster, RUNNING) == 9, 10)
            for answer in leaving:
                answer.close()
            assert eventually(lambda: counter(cluster, RUNNING) == 1, 1.0)
            *_, finish, done = lines
    assert done == "data: [DONE]"
    assert json.loads(finish.removeprefix("data: "))["choices"][0]["finish_reason"] == "length"


def test_leaving_before_a_whole_answer_stops_the_engine_within_a_second(cluster: Any) -> None:
    body = {"model": "demo", "prompt": PROMPT, "max_tokens": 900, "ignore_eos": True}
    assert falls_idle(cluster, 10)
    with closing(httpx.Client(timeout=0.7)) as caller, pytest.raises(httpx.ReadTimeout):
        caller.post(f"{cluster.url}/v1/completions", json=body)
    assert falls_idle(cluster)

"""The Open Inference Protocol over HTTP, over the real stages in one process."""

import asyncio
import gzip
import json
import math
import zlib
from typing import Any

import numpy as np
import pytest

from serve.oip.datatypes import to_binary
from serve.oip.errors import QueueFull

pytestmark = pytest.mark.asyncio(loop_scope="module")

STAGES = ("encoder", "generator", "interest", "recommend", "reranker", "retriever")


@pytest.fixture
def user(home: Any) -> str:
    return str(home.world.events[-1].user_id)


def strings(name: str, *values: str) -> dict[str, Any]:
    return {"name": name, "shape": [len(values), 1], "datatype": "BYTES", "data": list(values)}


def counts(*values: int) -> dict[str, Any]:
    return {"name": "count", "shape": [len(values), 1], "datatype": "INT64", "data": list(values)}


async def inferred(server: Any, model: str, inputs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    answer = await server.client.post(f"/v2/models/{model}/infer", json={"inputs": inputs, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def outputs_of(answer: dict[str, Any]) -> dict[str, list[Any]]:
    return {one["name"]: one["data"] for one in answer["outputs"]}


async def refused(server: Any, model: str, body: Any, **options: Any) -> tuple[int, str]:
    answer = await server.client.post(f"/v2/models/{model}/infer", json=body, **options)
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.json()["error"]


async def test_the_server_says_what_it_is_and_what_it_serves(server: Any) -> None:
    about = (await server.client.get("/v2")).json()
    assert about["name"] == "attune"
    assert {"binary_tensor_data", "classification", "statistics"} <= set(about["extensions"])
    assert (await server.client.get("/v2/health/live")).json() == {"live": True}
    ready = await server.client.get("/v2/health/ready")
    assert ready.json() == {"ready": ready.status_code == 200}
    index = (await server.client.post("/v2/repository/index", json={})).json()
    assert [one["name"] for one in index] == list(STAGES)
    assert {one["state"] for one in index} == {"READY"}


@pytest.mark.parametrize("model", STAGES)
async def test_every_model_has_metadata_config_statistics_and_is_ready(server: Any, model: str) -> None:
    about = (await server.client.get(f"/v2/models/{model}")).json()
    config = (await server.client.get(f"/v2/models/{model}/config")).json()
    assert about["name"] == config["name"] == model
    batch = [-1] if config["max_batch_size"] else []
    assert [one["shape"] for one in about["inputs"]] == [[*batch, *one["dims"]] for one in config["input"]]
    (version,) = about["versions"]
    for path in ("", "/ready", "/config", "/stats"):
        assert (await server.client.get(f"/v2/models/{model}/versions/{version}{path}")).status_code == 200
        missing = await server.client.get(f"/v2/models/{model}/versions/99{path}")
        assert missing.status_code == (400 if path in ("/ready", "/stats") else 404)  # as Triton has it
        assert missing.json() == {"error": f"Request for unknown model: '{model}' version 99 is not found"}


async def test_the_pipeline_as_a_model_answers_each_row_as_the_native_route_does(server: Any, user: str) -> None:
    native = await server.client.post("/v1/recommendations", json={"user_id": user, "count": 3})
    answer = await inferred(server, "recommend", [strings("user_id", user, "nobody"), counts(3, 2)], id="mine")
    found = outputs_of(answer)
    assert answer["id"] == "mine"
    assert found["item_id"][:3] == [item["item_id"] for item in native.json()["data"]]
    assert found["item_id"][5] == ""
    assert found["score"][5] is None
    assert found["item_length"] == [3, 2]
    assert found["tier"] == ["full", "cold_start"]


async def test_the_three_stages_in_a_row_are_the_pipeline(server: Any, user: str) -> None:
    def passed_on(answer: dict[str, Any], names: set[str]) -> list[dict[str, Any]]:
        return [{**one} for one in answer["outputs"] if one["name"] in names]

    async def inputs_of(model: str) -> set[str]:
        return {one["name"] for one in (await server.client.get(f"/v2/models/{model}")).json()["inputs"]}

    whole = outputs_of(await inferred(server, "recommend", [strings("user_id", user, "nobody"), counts(5, 5)]))
    users = await inferred(server, "interest", [strings("user_id", user, "nobody")])
    known = passed_on(users, await inputs_of("retriever"))
    seen = {"name": "exclude_seen", "shape": [2, 1], "datatype": "BOOL", "data": [False, False]}
    candidates = await inferred(server, "retriever", [*known, seen])
    wanted = await inputs_of("reranker")
    listed = await inferred(server, "reranker", [*known, *passed_on(candidates, wanted), counts(5, 5)])
    assert outputs_of(listed)["ranked_id"] == whole["item_id"]
    assert np.allclose(outputs_of(listed)["ranked_score"], whole["score"])


async def test_a_caller_sees_nothing_of_the_longer_lists_of_others_in_the_batch(server: Any, user: str) -> None:
    answers = await asyncio.gather(
        *(inferred(server, "recommend", [strings("user_id", user), counts(wanted)]) for wanted in (2, 9, 5))
    )
    assert [answer["outputs"][0]["shape"] for answer in answers] == [[1, 2], [1, 9], [1, 5]]
    users = await asyncio.gather(*(inferred(server, "interest", [strings("user_id", one)]) for one in (user, "nobody")))
    widths = [[one["shape"][1] for one in found["outputs"] if one["name"] == "behaviour_item"] for found in users]
    assert widths[0][0] > 0
    assert widths[1] == [0]


async def test_a_stage_that_hangs_is_given_up(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.ingress._api.inference, "_timeout_s", 0.05)

    async def hang(*arguments: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server.ingress._api.inference._entries["encoder"]._batcher, "submit", hang)
    assert (await refused(server, "encoder", {"inputs": [strings("text", "a")]}))[0] == 503


async def test_binary_tensors_both_ways(server: Any) -> None:
    raw = to_binary(np.array([[b"red lamp"], ["红色挂灯".encode()]], dtype=object))
    head = json.dumps(
        {
            "inputs": [
                {"name": "text", "shape": [2, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
            ],
            "outputs": [{"name": "embedding", "parameters": {"binary_data": True}}, {"name": "tokens"}],
        }
    ).encode()
    for coding, pack in (("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress)):
        answer = await server.client.post(
            "/v2/models/encoder/infer",
            content=pack(head + raw),
            headers={
                "Inference-Header-Content-Length": str(len(head)),
                "Content-Type": "application/octet-stream",
                "Content-Encoding": coding,
            },
        )
        assert answer.status_code == 200, answer.text
        length = int(answer.headers["Inference-Header-Content-Length"])
        described = json.loads(answer.content[:length])["outputs"]
        vectors = np.frombuffer(answer.content[length:], dtype="<f4").reshape(described[0]["shape"])
        assert described[0]["parameters"]["binary_data_size"] == vectors.nbytes
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert len(described[1]["data"]) == 2


async def test_classification_gives_the_largest_values_with_their_places(server: Any) -> None:
    plain = outputs_of(await inferred(server, "encoder", [strings("text", "red lamp")]))["embedding"]
    wanted = [{"name": "embedding", "parameters": {"classification": 3}}]
    found = await inferred(server, "encoder", [strings("text", "red lamp")], outputs=wanted)
    best = np.argsort(-np.array(plain), kind="stable")[:3]
    assert found["outputs"][0]["shape"] == [1, 3]
    assert [int(label.split(":")[1]) for label in found["outputs"][0]["data"]] == best.tolist()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "missing required input(s) ['text']"),
        ([strings("text", "a"), strings("more", "b")], "unexpected inference input 'more' for model 'encoder'"),
        ([strings("text", "a"), strings("text", "b")], "'text' occurs twice"),
        ([{**strings("text", "a"), "datatype": "FP32", "data": [1.0]}], "data-type is 'FP32', but model 'encoder'"),
        ([{**strings("text", "a"), "shape": [1]}], "Expected [-1,1], got [1]. NOTE: Setting a non-zero max_batch"),
        ([strings("text", *"a" * 65)], "inference request batch-size must be <= 64 for 'encoder'"),
        ([{**strings("text"), "shape": [0, 1]}], "batch-size must be >= 1"),
        ([{**strings("text", "a"), "parameters": {"shared_memory_region": "x"}}], "shared memory is not supported"),
        (
            [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}],
            "0 bytes are left behind the JSON",
        ),
    ],
)
async def test_inputs_that_do_not_fit_are_refused_in_tritons_words(
    server: Any, inputs: list[dict[str, Any]], message: str
) -> None:
    status, text = await refused(server, "encoder", {"inputs": inputs})
    assert status == 400
    assert message in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"outputs": [{"name": "nope"}]}, "unexpected inference output 'nope'"),
        ({"outputs": [{"name": "tokens", "parameters": {"classification": -1}}]}, "classification -1"),
        ({"parameters": {"priority": -1}}, "parameter 'priority' is -1"),
        ({"parameters": {"timeout": "soon"}}, "parameter 'timeout' is 'soon'"),
        ({"parameters": {"sequence_id": 7}}, "no model of this server is stateful"),
    ],
)
async def test_bad_outputs_and_parameters_are_refused(server: Any, more: dict[str, Any], message: str) -> None:
    status, text = await refused(server, "encoder", {"inputs": [strings("text", "a")], **more})
    assert status == 400
    assert message in text


async def test_bodies_that_are_no_requests_are_refused(server: Any) -> None:
    for content, headers in (
        (b"{", {}),
        (b"{}", {}),
        (b"{}", {"Inference-Header-Content-Length": "5"}),
        (b"{}", {"Inference-Header-Content-Length": "x"}),
        (b"{}", {"Content-Encoding": "br"}),
        (b"{}", {"Content-Encoding": "gzip"}),
        (b'{"inputs": []}x', {"Inference-Header-Content-Length": "14"}),
    ):
        answer = await server.client.post("/v2/models/encoder/infer", content=content, headers=headers)
        assert answer.status_code == 400, (content, headers)
        assert set(answer.json()) == {"error"}


async def test_a_bomb_of_zeros_is_refused(server: Any) -> None:
    bomb = gzip.compress(bytes(server.config.limits.max_body_bytes + 1))
    answer = await server.client.post("/v2/models/encoder/infer", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


async def test_an_unknown_model_is_refused_by_every_call_with_the_status_that_triton_gives(server: Any) -> None:
    for method, path, status in (
        ("GET", "/v2/models/nope", 404),
        ("GET", "/v2/models/nope/config", 404),
        ("GET", "/v2/models/nope/stats", 400),
        ("GET", "/v2/models/nope/ready", 400),
        ("POST", "/v2/models/nope/generate", 404),
        ("POST", "/v2/models/nope/generate_stream", 404),
        ("POST", "/v2/repository/models/nope/unload", 404),
    ):
        answer = await server.client.request(method, path, json={} if method == "POST" else None)
        said = "Request for unknown model: 'nope' is not found"
        assert (answer.status_code, answer.json()) == (status, {"error": said}), path


async def test_what_is_no_path_or_method_of_the_protocol_is_refused_in_its_form(server: Any) -> None:
    missing = await server.client.get("/v2/models/encoder/nonsense")
    assert (missing.status_code, missing.json()) == (404, {"error": "no such path"})
    wrong = await server.client.get("/v2/models/encoder/infer")
    assert (wrong.status_code, list(wrong.json())) == (405, ["error"])
    assert isinstance(wrong.json()["error"], str)
    media = await server.client.post("/v2/repository/index", content=b"x", headers={"Content-Type": "text/plain"})
    assert (media.status_code, list(media.json())) == (415, ["error"])
    assert isinstance(media.json()["error"], str)
    other = await server.client.post("/v2/rerank", content=b"{", headers={"Content-Type": "application/json"})
    assert set(other.json()["error"]) == {"message", "type", "param", "code"}


async def test_outputs_come_in_the_models_own_order_and_once(server: Any) -> None:
    wanted = [{"name": "tokens"}, {"name": "embedding"}, {"name": "tokens"}]
    found = await inferred(server, "encoder", [strings("text", "a")], outputs=wanted)
    assert [one["name"] for one in found["outputs"]] == ["embedding", "tokens"]


async def test_what_is_said_twice_or_is_no_flag_is_refused(server: Any) -> None:
    twice = {**strings("text", "a"), "parameters": {"binary_data_size": 5}}
    status, text = await refused(server, "encoder", {"inputs": [twice]})
    assert (status, "only one of" in text) == (400, True)
    flag = [{"name": "tokens", "parameters": {"binary_data": "yes"}}]
    for more in ({"outputs": flag}, {"parameters": {"binary_data_output": 1}}):
        status, text = await refused(server, "encoder", {"inputs": [strings("text", "a")], **more})
        assert (status, "true or false" in text) == (400, True)


async def test_models_of_the_pipeline_stay_loaded(server: Any) -> None:
    assert (await server.client.post("/v2/repository/models/encoder/load", json={})).status_code == 200
    answer = await server.client.post("/v2/repository/models/encoder/unload", json={})
    assert answer.status_code == 400
    assert "the server needs it" in answer.json()["error"]


async def test_an_overload_is_503_with_the_time_to_come_back(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*arguments: object) -> None:
        raise QueueFull("Exceeds maximum queue size", 2.5)

    monkeypatch.setattr(server.ingress._api.inference._entries["encoder"]._batcher, "submit", full)
    answer = await server.client.post("/v2/models/encoder/infer", json={"inputs": [strings("text", "a")]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    server.ingress._api.permits.limit = 0
    answer = await server.client.post("/v2/models/encoder/infer", json={"inputs": [strings("text", "a")]})
    assert answer.status_code == 503


async def test_statistics_move_by_what_was_sent(server: Any, user: str) -> None:
    async def numbers(model: str) -> tuple[int, int]:
        (found,) = (await server.client.get(f"/v2/models/{model}/stats")).json()["model_stats"]
        return found["inference_stats"]["success"]["count"], found["inference_count"]

    names = ("encoder", "interest", "retriever", "reranker", "recommend")
    before = {name: await numbers(name) for name in names}
    for _ in range(3):
        await inferred(server, "encoder", [strings("text", "a", "b")])
    await server.client.post("/v1/recommendations", json={"user_id": user})
    await inferred(server, "recommend", [strings("user_id", user, "nobody")])
    after = {name: await numbers(name) for name in names}
    moved = {name: tuple(b - a for a, b in zip(before[name], after[name], strict=True)) for name in names}
    assert moved == {"encoder": (3, 6), **dict.fromkeys(names[1:4], (3, 3)), "recommend": (1, 2)}
    exposition = (await server.client.get("/metrics")).text
    assert 'nv_inference_request_success{model="encoder",version="1"}' in exposition
    assert "nv_inference_count_total" not in exposition


async def test_text_is_generated_whole_and_as_it_grows(server: Any) -> None:
    body = {"text_input": "one two", "max_tokens": 3}
    whole = await server.client.post("/v2/models/generator/generate", json=body)
    assert whole.json()["text_output"] == "one two one"
    stream = await server.client.post("/v2/models/generator/generate_stream", json={**body, "id": "7"})
    events = [json.loads(line.removeprefix("data: ")) for line in stream.text.splitlines() if line]
    assert "".join(event["text_output"] for event in events) == "one two one"
    assert {event["id"] for event in events} == {"7"}
    refused = await server.client.post("/v2/models/generator/generate", json={"max_tokens": 3})
    assert refused.status_code == 400
    wrong = await server.client.post("/v2/models/generator/generate", json={"text_input": "a", "max_tokens": "b"})
    assert "attempt to convert 'max_tokens' to INT32" in wrong.json()["error"]
    failing = await server.client.post("/v2/models/generator/generate_stream", json={"text_input": "refuse"})
    assert "the prompt is refused" in failing.text


async def test_the_past_is_asked_for_where_evaluation_allows_it(server: Any, user: str, home: Any) -> None:
    middle = home.world.events[len(home.world.events) // 2].timestamp
    as_of = {"name": "as_of", "shape": [2, 1], "datatype": "FP64", "data": [middle, math.nan]}
    raw = json.dumps({"inputs": [strings("user_id", user, user), as_of]}).replace("NaN", "null")
    answer = await server.client.post("/v2/models/interest/infer", content=raw)
    past, live = outputs_of(answer.json())["events"]
    assert past < live


async def test_native_calls_of_encoder_and_generator_count_as_theirs(server: Any, user: str) -> None:
    async def answered(model: str) -> int:
        (found,) = (await server.client.get(f"/v2/models/{model}/stats")).json()["model_stats"]
        return int(found["inference_stats"]["success"]["count"])

    models = (await server.client.get("/v1/models")).json()
    encoder, generator = await answered("encoder"), await answered("generator")
    embedded = await server.client.post(
        "/v1/embeddings", json={"model": models["data"][-1]["id"], "input": ["red lamp", "blue lamp"]}
    )
    assert embedded.status_code == 200, embedded.text
    asked = {"user_id": user, "count": 2, "generate": {"content_type": "reason"}}
    assert (await server.client.post("/v1/recommendations", json=asked)).status_code == 200
    prompt = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["a b"]}
    most = {"name": "max_tokens", "shape": [1], "datatype": "INT32", "data": [2]}
    await inferred(server, "generator", [prompt, most])
    streamed = await server.client.post(
        "/v2/models/generator/generate_stream", json={"text_input": "a b", "max_tokens": 2}
    )
    assert streamed.status_code == 200
    assert (await answered("encoder"), await answered("generator")) == (encoder + 1, generator + 3)


async def test_what_nobody_foresaw_is_told_to_the_log_and_not_to_the_caller(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(server.ingress._api.inference, "infer", broken)
    answer = await server.client.post("/v2/models/encoder/infer", json={"inputs": [strings("text", "a")]})
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert "secret" not in answer.text
    assert "a secret" in caplog.text


async def test_inferences_are_counted_under_their_route(server: Any) -> None:
    async def counted(route: str) -> float:
        text = (await server.client.get("/metrics")).text
        name = f'attune_requests_total{{route="{route}",status="200"}}'
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    newest, versioned = "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"
    (version,) = (await server.client.get("/v2/models/encoder")).json()["versions"]
    before = await counted(newest), await counted(versioned)
    body = {"inputs": [strings("text", "a")]}
    for path in ("/v2/models/encoder/infer", f"/v2/models/encoder/versions/{version}/infer"):
        assert (await server.client.post(path, json=body)).status_code == 200
    assert (await counted(newest), await counted(versioned)) == (before[0] + 1, before[1] + 1)


async def test_a_body_beyond_its_bound_is_refused_however_it_comes(server: Any) -> None:
    async def parts() -> Any:
        for _ in range(9):
            yield bytes(server.config.limits.max_body_bytes // 8)

    answer = await server.client.post("/v2/models/encoder/infer", content=parts())
    assert (answer.status_code, list(answer.json())) == (413, ["error"])

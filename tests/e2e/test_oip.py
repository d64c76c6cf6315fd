"""The Open Inference Protocol on the real cluster, asked by Triton's own clients; two replicas of every stage."""

import json
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import ray.serve
from rich.console import Console

from serve.commands.models import change_model
from serve.ray_options import APPLICATION
from tests.serve.oip.folders import write_config, write_scaler, write_twice, write_version

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of gevent and of generated code
    import grpc
    import tritonclient.grpc as triton_grpc
    import tritonclient.grpc.aio as triton_grpc_aio
    import tritonclient.http as triton_http
    import tritonclient.http.aio as triton_http_aio
    from tritonclient.utils import InferenceServerException

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.fixture
def http(cluster: Any) -> Iterator[Any]:
    with triton_http.InferenceServerClient(cluster.url.removeprefix("http://"), network_timeout=60.0) as client:
        yield client


@pytest.fixture
def remote(cluster: Any) -> Iterator[Any]:
    with triton_grpc.InferenceServerClient(cluster.grpc) as client:
        yield client


def text_input(module: Any, *texts: str, name: str = "text", **options: Any) -> Any:
    wanted = module.InferInput(name, [len(texts), 1], "BYTES")
    wanted.set_data_from_numpy(np.array([[text] for text in texts], dtype=object), **options)
    return wanted


@pytest.mark.parametrize("name", ["http", "remote"])
def test_the_stock_clients_find_server_and_models(name: str, request: pytest.FixtureRequest) -> None:
    client = request.getfixturevalue(name)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("recommend")
    as_json = {} if name == "http" else {"as_json": True}
    assert client.get_server_metadata(**as_json)["name"] == "attune"
    assert client.get_model_metadata("encoder", **as_json)["inputs"][0]["name"] == "text"
    config = client.get_model_config("encoder", **as_json)
    assert config.get("config", config)["max_batch_size"] == 64
    index = client.get_model_repository_index(**as_json)
    assert {one["name"] for one in (index if name == "http" else index["models"])} >= {"recommend", "generator"}
    client.load_model("encoder")
    with pytest.raises(InferenceServerException, match="the server needs it"):
        client.unload_model("encoder")


@pytest.mark.parametrize("binary", [True, False])
def test_texts_are_encoded_alike_over_http_and_grpc(http: Any, remote: Any, binary: bool) -> None:
    texts = ("red lamp", "红色挂灯")
    wanted = [triton_http.InferRequestedOutput("embedding", binary_data=binary)]
    over_http = http.infer("encoder", [text_input(triton_http, *texts, binary_data=binary)], outputs=wanted)
    over_grpc = remote.infer("encoder", [text_input(triton_grpc, *texts)])
    assert np.allclose(over_http.as_numpy("embedding"), over_grpc.as_numpy("embedding"), atol=1e-6)


async def test_the_asynchronous_clients_get_the_same_lists(cluster: Any) -> None:
    user = cluster.home.world.events[-1].user_id

    def asked(module: Any) -> list[Any]:
        users = module.InferInput("user_id", [1, 1], "BYTES")
        users.set_data_from_numpy(np.array([[user]], dtype=object))
        count = module.InferInput("count", [1, 1], "INT64")
        count.set_data_from_numpy(np.array([[5]], dtype=np.int64))
        return [users, count]

    async with (
        triton_http_aio.InferenceServerClient(cluster.url.removeprefix("http://")) as http,
        triton_grpc_aio.InferenceServerClient(cluster.grpc) as remote,
    ):
        first = await http.infer("recommend", asked(triton_http))
        second = await remote.infer("recommend", asked(triton_grpc))
    native = cluster.client().post("/v1/recommendations", json={"user_id": user, "count": 5}).json()
    ids = [item["item_id"] for item in native["data"]]
    assert [one.decode() for one in first.as_numpy("item_id")[0]] == ids
    assert [one.decode() for one in second.as_numpy("item_id")[0]] == ids


def test_a_stream_gives_the_text_as_it_grows_and_outlives_an_error(remote: Any) -> None:
    answers: list[tuple[Any, Any]] = []
    remote.start_stream(lambda result, error: answers.append((result, error)))
    prompt = triton_grpc.InferInput("text_input", [1], "BYTES")
    prompt.set_data_from_numpy(np.array(["title:"], dtype=object))
    most = triton_grpc.InferInput("max_tokens", [1], "INT32")
    most.set_data_from_numpy(np.array([6], dtype=np.int32))
    remote.async_stream_infer("nope", [prompt])
    remote.async_stream_infer("generator", [prompt, most])
    remote.stop_stream()
    (_, error), *pieces = answers
    assert "'nope' is not found" in str(error)
    assert len(pieces) > 1
    assert all(one.as_numpy("text_output") is not None for one, _ in pieces)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("NOT_FOUND", lambda client: client.get_model_metadata("nope")),
        ("NOT_FOUND", lambda client: client.infer("encoder", [text_input(triton_grpc, "a")], model_version="99")),
        ("INVALID_ARGUMENT", lambda client: client.infer("encoder", [text_input(triton_grpc, *"a" * 65)])),
        ("UNIMPLEMENTED", lambda client: client.get_system_shared_memory_status()),
        ("UNIMPLEMENTED", lambda client: client.get_trace_settings()),
        ("UNIMPLEMENTED", lambda client: client.get_log_settings()),
    ],
)
def test_errors_carry_tritons_codes(remote: Any, code: str, call: Any) -> None:
    with pytest.raises(InferenceServerException) as refused:
        call(remote)
    assert refused.value.status() == f"StatusCode.{code}"
    assert refused.value.message()


def test_what_does_not_fit_is_refused_over_http(http: Any) -> None:
    for inputs, message in (
        ([text_input(triton_http, *"a" * 65)], "batch-size must be <= 64"),
        ([], "missing required input"),
    ):
        with pytest.raises(InferenceServerException, match=message) as refused:
            http.infer("encoder", inputs)
        assert refused.value.status() == "400"


def test_a_deadline_of_the_callers_is_kept(remote: Any) -> None:
    with pytest.raises(InferenceServerException, match="Deadline"):
        remote.infer("encoder", [text_input(triton_grpc, "a")], client_timeout=0.0001)
    assert grpc.StatusCode.DEADLINE_EXCEEDED.name == "DEADLINE_EXCEEDED"


def running(cluster: Any) -> float:
    """Requests that the engine works on."""
    text = cluster.client().get("/metrics").text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("vllm:num_requests_running"))


def becomes(cluster: Any, wanted: float, within_s: float) -> bool:
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        if running(cluster) == wanted:
            return True
        time.sleep(0.02)
    return False


def long_text() -> list[Any]:
    prompt, most = (
        triton_grpc.InferInput("text_input", [1], "BYTES"),
        triton_grpc.InferInput("max_tokens", [1], "INT32"),
    )
    prompt.set_data_from_numpy(np.array(["no end to it: " * 20], dtype=object))
    most.set_data_from_numpy(np.array([700], dtype=np.int32))
    heat = triton_grpc.InferInput("temperature", [1], "FP32")
    heat.set_data_from_numpy(np.array([2.0], dtype=np.float32))  # at which the end mark is as rare as any other token
    return [prompt, most, heat]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_cancelled_call_stops_the_engine_within_a_second(cluster: Any, remote: Any, streamed: bool) -> None:
    assert becomes(cluster, 0, 10)
    ended: list[Any] = []
    if streamed:
        remote.start_stream(lambda result, error: ended.append(error))
        for _ in range(4):
            remote.async_stream_infer("generator", long_text())
    else:
        calls = [
            remote.async_infer("generator", long_text(), lambda result, error: ended.append(error)) for _ in "1234"
        ]
    assert becomes(cluster, 1 if streamed else 4, 10), "it must be at work, or the test shows nothing"
    if streamed:
        remote.stop_stream(cancel_requests=True)
    else:
        for call in calls:
            call.cancel()
    assert becomes(cluster, 0, 1.0)


def scaled(client: Any, module: Any, version: str = "", model: str = "scaler", name: str = "x") -> tuple[str, float]:
    one = module.InferInput(name, [1, 2], "FP32")
    one.set_data_from_numpy(np.ones((1, 2), np.float32))
    answer = client.infer(model, [one], model_version=version)
    about = answer.get_response()
    found = about["model_version"] if isinstance(about, dict) else about.model_version
    return found, float(answer.as_numpy("c" if "twice" in model else "y")[0, 0])


def test_a_folder_in_the_repository_is_a_model_of_two_replicas_and_its_versions_change_on_both(
    cluster: Any, http: Any, remote: Any
) -> None:
    folder = cluster.home.folder / "models" / "scaler"
    clients = ((http, triton_http), (remote, triton_grpc))
    assert [scaled(*one) for one in clients] == [("1", 2.0)] * 2
    assert scaled(http, triton_http, model="twice", name="a") == ("1", 4.0)
    write_version(folder, "2", 3)
    http.load_model("scaler")
    assert {scaled(*one) for one in clients * 10} == {("2", 3.0)}
    assert {scaled(*one, version="1") for one in clients * 10} == {("1", 2.0)}
    write_version(folder, "3", 4, "raise RuntimeError('no weights')")
    with pytest.raises(InferenceServerException, match="no weights"):
        remote.load_model("scaler")
    assert {scaled(*one) for one in clients * 10} == {("2", 3.0)}
    remote.unload_model("scaler")
    with pytest.raises(InferenceServerException, match="'scaler' is not found"):
        scaled(remote, triton_grpc)
    shutil.rmtree(folder / "3")
    http.load_model("scaler")
    assert {scaled(*one) for one in clients * 10} == {("2", 3.0)}


def test_no_request_fails_while_versions_are_swapped_on_both_replicas(cluster: Any, http: Any) -> None:
    folder = cluster.home.folder / "models" / "scaler"
    write_config(folder, instance_group=[{"count": 2}])
    stop = threading.Event()

    def asking() -> set[tuple[str, float]]:
        found = set()
        with triton_http.InferenceServerClient(cluster.url.removeprefix("http://"), network_timeout=60.0) as client:
            while not stop.is_set():
                found.add(scaled(client, triton_http))
        return found

    with ThreadPoolExecutor(4) as callers:
        answers = [callers.submit(asking) for _ in range(4)]
        try:
            for version in range(10, 20):
                write_version(folder, str(version), version)
                http.load_model("scaler")
        finally:
            stop.set()
    seen = set().union(*(answer.result() for answer in answers))
    assert all(value == float(version) for version, value in seen - {("2", 3.0)})
    assert ("19", 19.0) in seen | {scaled(http, triton_http)}


def states(client: Any, model: str) -> set[tuple[str, bool]]:
    """(state, whether there is a reason) of its versions; asked often enough to reach every ingress replica."""
    found = [one for _ in range(6) for one in client.get_model_repository_index() if one["name"] == model]
    return {(one["state"], bool(one["reason"])) for one in found}


def test_a_folder_that_comes_while_the_server_runs_is_loaded_served_and_unloaded_by_every_ingress_replica(
    cluster: Any, http: Any, remote: Any
) -> None:
    write_scaler(cluster.home.folder / "models", name="late")
    bad = write_scaler(cluster.home.folder / "models", name="bad")
    write_version(bad, "1", 1, "raise RuntimeError('no weights')")
    clients = ((http, triton_http), (remote, triton_grpc))
    stop = threading.Event()

    def asking_others() -> int:
        asked = 0
        with triton_http.InferenceServerClient(cluster.url.removeprefix("http://"), network_timeout=60.0) as client:
            while not stop.is_set():
                client.infer("interest", [text_input(triton_http, "a", name="user_id")])
                asked += 1
        return asked

    def answers() -> set[tuple[str, float]]:
        return {scaled(*one, model="late") for one in clients * 6}

    assert states(http, "late") == {("UNAVAILABLE", True)}
    with ThreadPoolExecutor(2) as callers:
        others, refused = callers.submit(asking_others), callers.submit(remote.load_model, "bad")
        try:
            http.load_model("late")
            assert answers() == {("1", 2.0)}
            with pytest.raises(
                InferenceServerException, match="failed to load 'bad': version 1: RuntimeError: no weights"
            ):
                refused.result()
            remote.load_model("late", config=json.dumps({"parameters": {"unit": {"string_value": "10"}}}))
            assert answers() == {("1", 20.0)}
            assert states(http, "late") == {("READY", False)}
            with pytest.raises(InferenceServerException, match="files come from the model repository"):
                remote.load_model("late", config="{}", files={"file:1/model.py": b"x"})
            http.unload_model("late")
            for client in clients * 4:
                with pytest.raises(InferenceServerException, match="'late' is not found"):
                    scaled(*client, model="late")
            assert [one for one in ray.serve.status().applications if one != APPLICATION] == []
            remote.load_model("late")
            assert answers() == {("1", 2.0)}
        finally:
            stop.set()
    assert others.result() > 0
    assert (states(http, "late"), states(http, "bad")) == ({("READY", False)}, {("UNAVAILABLE", True)})
    told = {one["reason"] for _ in range(6) for one in http.get_model_repository_index() if one["name"] == "bad"}
    assert told == {"failed to load 'bad': version 1: RuntimeError: no weights"}


def test_an_ensemble_that_comes_while_the_server_runs_is_served_changed_and_unloaded_by_every_ingress_replica(
    cluster: Any, http: Any, remote: Any
) -> None:
    models, clients = cluster.home.folder / "models", ((http, triton_http), (remote, triton_grpc))
    factor = scaled(http, triton_http)[1]

    def answers() -> set[float]:
        return {scaled(*one, model="new_twice", name="a")[1] for one in clients * 6}

    write_twice(models, name="new_twice", model="nope")
    with pytest.raises(InferenceServerException, match="'nope' is not found"):
        http.load_model("new_twice")
    write_twice(models, name="new_twice")
    change_model(Console(quiet=True), cluster.url, "load", "new_twice")
    assert answers() == {factor**2}
    for broken, message in (("new_twice", "is made of itself"), ("nope", "'nope' is not found")):
        write_twice(models, name="new_twice", model=broken)
        with pytest.raises(InferenceServerException, match=message):
            remote.load_model("new_twice")
    assert answers() == {factor**2}
    once = {"model_name": "scaler", "input_map": {"x": "a"}, "output_map": {"y": "c"}}
    write_twice(models, name="new_twice", ensemble_scheduling={"step": [once]})
    remote.load_model("new_twice")
    assert answers() == {factor}
    http.unload_model("new_twice")
    for client in clients * 4:
        with pytest.raises(InferenceServerException, match="'new_twice' is not found"):
            scaled(*client, model="new_twice", name="a")
    shutil.rmtree(models / "new_twice")


def test_counts_of_all_replicas_move_exactly_by_what_was_sent(http: Any, remote: Any) -> None:
    def count() -> tuple[int, int]:  # of a model that no caller of another test has left alone with a request
        (found,) = http.get_inference_statistics("interest")["model_stats"]
        return found["inference_stats"]["success"]["count"], found["inference_count"]

    requests, rows = count()
    for _ in range(10):
        http.infer("interest", [text_input(triton_http, "a", "b", name="user_id")])
        remote.infer("interest", [text_input(triton_grpc, "c", name="user_id")])
    assert count() == (requests + 20, rows + 30)

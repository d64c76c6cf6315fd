"""A user's own model: versions in a folder, swapped while requests are answered, refused by name when broken."""

import asyncio
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from interest.errors import InvalidConfig
from serve.oip.errors import ModelFailed, UnknownModel
from serve.oip.hosted import ModelHost, read_user_models

SCALER = """
class Model:
    def load(self, folder, parameters):
        self.factor = {factor} * float(parameters.get("unit", "1"))
    def infer(self, tensors):
        if (tensors["x"] < 0).any():
            raise ValueError("negative")
        return {{"y": tensors["x"] * np.float32(self.factor)}}
    def unload(self):
        (__import__("pathlib").Path(__file__).parent / "unloaded").touch()
import numpy as np
"""
CONFIG = {
    "backend": "python",
    "max_batch_size": 4,
    "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [2]}],
    "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [2]}],
    "model_warmup": [{"batch_size": 2, "inputs": {"x": {"data_type": "TYPE_FP32", "dims": [2], "zero_data": True}}}],
}
ONES = {"x": np.ones((1, 2), dtype=np.float32)}


def write_version(folder: Path, version: str, code: str) -> None:
    (folder / version).mkdir(parents=True)
    (folder / version / "model.py").write_text(code)


def write_config(folder: Path, **changes: object) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scaler"
    write_version(folder, "1", SCALER.format(factor=2))
    write_config(folder)
    return folder


async def answer(host: ModelHost, version: str = "") -> float:
    return float((await host.infer(version, ONES))["y"][0, 0])


async def test_the_newest_version_is_served_and_the_old_one_unloaded_after_its_requests(folder: Path) -> None:
    host = ModelHost(folder)
    await host.load()
    assert await answer(host) == 2
    write_version(folder, "2", SCALER.format(factor=3))
    assert await answer(host) == 2
    await host.load()
    assert (await answer(host), host.versions) == (3, ["2"])
    assert (folder / "1" / "unloaded").exists()
    with pytest.raises(UnknownModel, match="version 1"):
        await answer(host, "1")
    host.close()


async def test_several_versions_at_once_by_policy_and_parameters_reach_the_model(folder: Path) -> None:
    write_version(folder, "10", SCALER.format(factor=5))
    write_config(folder, version_policy={"all": {}}, parameters={"unit": {"string_value": "10"}})
    host = ModelHost(folder)
    await host.load()
    assert host.versions == ["1", "10"]
    assert [await answer(host, version) for version in ("", "1", "10")] == [50, 20, 50]
    host.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no weights')", "no weights"),
        ("x = 1", "no class Model"),
        (SCALER.format(factor=2).replace('"y"', '"z"'), "gave no output 'y'"),
        (SCALER.format(factor=2).replace("np.float32(", "np.float64("), "its config says FP32"),
    ],
)
async def test_a_bad_version_is_refused_and_the_old_one_serves(folder: Path, code: str, message: str) -> None:
    host = ModelHost(folder)
    await host.load()
    write_version(folder, "2", code)
    with pytest.raises(InvalidConfig, match=message):
        await host.load()
    assert (await answer(host), host.versions) == (2, ["1"])
    first, second = host.states()
    assert (first.state, second.state) == ("READY", "UNAVAILABLE")
    assert message in second.reason
    host.close()


async def test_no_request_fails_while_versions_are_swapped(folder: Path) -> None:
    write_config(folder, version_policy={"latest": {"num_versions": 1}})
    host = ModelHost(folder)
    await host.load()
    stop = asyncio.Event()

    async def asking() -> set[float]:
        found = set()
        while not stop.is_set():
            found.add(await answer(host))
        return found

    callers = [asyncio.create_task(asking()) for _ in range(4)]
    for version in range(2, 12):
        write_version(folder, str(version), SCALER.format(factor=version + 1))
        await host.load()
    stop.set()
    seen = set().union(*await asyncio.gather(*callers))
    assert seen <= {float(factor) for factor in range(2, 13)}
    assert host.versions == ["11"]
    host.close()


async def test_what_the_model_raises_is_its_own_failure_and_nothing_is_served_once_unloaded(folder: Path) -> None:
    host = ModelHost(folder)
    await host.load()
    with pytest.raises(ModelFailed, match="ValueError: negative"):
        await host.infer("", {"x": -ONES["x"]})
    await host.unload()
    with pytest.raises(UnknownModel):
        await answer(host)
    host.close()


async def test_an_onnx_file_is_served_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "doubler"
    (folder / "1").mkdir(parents=True)
    shape = ["batch", 2]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubler",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, str(folder / "1" / "model.onnx"))
    write_config(folder, backend="onnxruntime")
    host = ModelHost(folder)
    await host.load()
    assert await answer(host) == 2
    host.close()


def test_models_are_found_by_their_config_and_one_that_does_not_fit_is_named(folder: Path) -> None:
    (folder.parent / "encoder" / "1").mkdir(parents=True)  # of a release: no config file
    assert list(read_user_models(folder.parent)) == ["scaler"]
    for changes, message in (
        ({"backend": "tensorflow"}, "backend 'tensorflow'"),
        ({"output": []}, "output: at least one"),
        ({"speed": 1}, "speed"),
        ({"name": "other"}, "not that of its folder"),
        ({"dynamic_batching": {"preferred_batch_size": [8]}}, "must be 1 to max_batch_size=4"),
        ({"input": [{"name": "x", "data_type": "FP32", "dims": [2]}]}, "not one of TYPE_STRING"),
    ):
        write_config(folder, **changes)
        with pytest.raises(InvalidConfig, match=message):
            read_user_models(folder.parent)


def test_tritons_own_config_format_is_read(folder: Path) -> None:
    (folder / "config.pbtxt").write_text(
        'backend: "python" max_batch_size: 4 input [{name: "x" data_type: TYPE_FP32 dims: [2]}]'
        'output [{name: "y" data_type: TYPE_FP32 dims: [2]}] dynamic_batching {max_queue_delay_microseconds: 100}'
        'version_policy {specific {versions: [1]}} parameters {key: "unit" value {string_value: "3"}}'
    )
    config = read_user_models(folder.parent)["scaler"]
    assert config.parameters["unit"].string_value == "3"
    assert config.version_policy.served(["1", "2"]) == ["1"]
    write_config(folder)
    (folder / "config.pbtxt").unlink()
    assert read_user_models(folder.parent)["scaler"].to_proto().model_warmup[0].inputs["x"].zero_data
    assert config.to_proto().dynamic_batching.max_queue_delay_microseconds == 100
